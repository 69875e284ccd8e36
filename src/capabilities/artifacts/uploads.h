// Blob uploads: sessions that survive a restart, and the path of bytes from the socket to the store.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "capabilities/artifacts/registry.h"
#include "net/http.h"

namespace mainstay::artifacts {

struct Upload {
  std::string id, repository, user;
  std::shared_ptr<store::BlobUpload> blob;  // null until it is used after a restart
  bool busy = false;                        // one request at a time
  base::SystemTime touched;
};

// On the loop. Abandons requests with RegistryError.
class Uploads {
 public:
  Uploads(std::shared_ptr<Registry> registry, async::TaskGroup& tasks);

  // Keeps an upload from other requests while it lives.
  class Use {
   public:
    explicit Use(std::shared_ptr<Upload> upload) : upload_(std::move(upload)) { upload_->busy = true; }
    ~Use() { upload_->busy = false; }
    Use(const Use&) = delete;
    Upload& operator*() const { return *upload_; }
    Upload* operator->() const { return upload_.get(); }

   private:
    std::shared_ptr<Upload> upload_;
  };
  using UsePtr = std::shared_ptr<Use>;

  async::Task<UsePtr> begin(std::string repository, std::string user);
  // An upload under way, of this repository and user; reopened where the program was restarted.
  async::Task<UsePtr> open(std::string repository, std::string id, std::string user);
  // Appends the body. Receiving and hashing overlap. Where the peer breaks off, what arrived stays, to be resumed.
  async::Task<> receive(UsePtr use, std::shared_ptr<net::BodyReader> body);
  // Checks the digest, makes the blob durable, links it.
  async::Task<> finish(UsePtr use, std::string digest);
  async::Task<> abort(UsePtr use);
  // Ends those that nobody touched for `age`, and those of a namespace that is gone ("" for none).
  async::Task<std::size_t> expire(std::chrono::seconds age, std::string ns = "");
  std::size_t open_count() const { return uploads_.size(); }

 private:
  struct Pump;
  static async::Task<> pump(std::shared_ptr<Pump> pump);
  async::Task<> forget(std::string id);

  std::shared_ptr<Registry> registry_;
  async::TaskGroup& tasks_;
  std::map<std::string, std::shared_ptr<Upload>, std::less<>> uploads_;
};

}  // namespace mainstay::artifacts
