// Which children of this program belong to somebody. Not for other layers.
//
// The program is a subreaper (PR_SET_CHILD_SUBREAPER): what its children leave behind comes to it, because PID 1 of a
// container may not reap. A child started through Process is waited for by its pidfd; any other that ends is reaped
// here.
#pragma once
#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

namespace mainstay::async {

// Thread-safe. A claimed child is left to its Process.
void claim_child(pid_t pid);
void release_child(pid_t pid);

class OrphanReaper {
 public:
  explicit OrphanReaper(boost::asio::io_context& loop);
  OrphanReaper(const OrphanReaper&) = delete;

 private:
  void await_signal();
  void schedule();
  static void sweep();

  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;
  bool scheduled_ = false;
};

}  // namespace mainstay::async
