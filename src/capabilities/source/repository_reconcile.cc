#include "capabilities/source/repository_reconcile.h"

#include "base/log.h"
#include "base/strings.h"

namespace mainstay::source {
namespace {

constexpr std::size_t kMaxPushers = 1000;
// A repository is packed anew after so many pushes, each of which may have left a pack.
constexpr int kPushesToMaintenance = 60;
constexpr std::string_view kLog = "source";

std::string default_branch(const base::json::value& repository) {
  return base::get_string(repository, "spec.defaultBranch", "main");
}

}  // namespace

RepositoryReconciler::RepositoryReconciler(platform::Host& host, std::shared_ptr<Git> git)
    : host_(host), git_(std::move(git)), client_(host.client("source")) {}

void RepositoryReconciler::refs_moved(reconcile::Name name) {
  read_.erase(name);
  ++pushes_[name];
  if (controller_ != nullptr) controller_->enqueue(std::move(name));
}

void RepositoryReconciler::note_pusher(const reconcile::Name& name, std::string ref, std::string sha,
                                       std::string user) {
  if (pushers_.size() >= kMaxPushers) pushers_.pop_front();
  pushers_.push_back({name, std::move(ref), std::move(sha), std::move(user)});
}

std::string RepositoryReconciler::pusher_of(const reconcile::Name& name, const RefChange& change) const {
  // The latest note wins: two people may have tried the same commit, and the second may be the one who got through.
  for (auto at = pushers_.rbegin(); at != pushers_.rend(); ++at) {
    if (at->name != name || at->ref != change.ref || at->sha != change.after) continue;
    return at->user;
  }
  return "unknown";
}

async::Task<reconcile::Outcome> RepositoryReconciler::reconcile(reconcile::Name name) {
  const client::ObjectPtr object = host_.caches().of(client::resources::kRepositories)->get(name.ns, name.name);
  if (!object) {
    read_.erase(name);
    pushes_.erase(name);
    co_return reconcile::Outcome::done();
  }
  reconcile::Pass pass(client_, client::resources::kRepositories, object);
  if (pass.deleting()) {
    if (pass.has_finalizer(kFinalizer)) {
      co_await remove(name);
      pass.remove_finalizer(kFinalizer);
      co_await pass.commit();
    }
    co_return reconcile::Outcome::done();
  }
  if (!pass.has_finalizer(kFinalizer)) {
    // Durable before there is anything to clean up; the change brings the next pass.
    pass.add_finalizer(kFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  if (auto ok = git_->path(name.ns, name.name); !ok || !is_branch_name(default_branch(*object))) {
    pass.set_condition("Ready", false, "InvalidName",
                       ok ? "spec.defaultBranch is not a branch name that git accepts" : ok.error().message,
                       host_.clock());
  } else {
    co_await ensure(pass, name);
  }
  try {
    co_await pass.commit();
  } catch (...) {
    read_.erase(name);  // Nothing is recorded that was not written.
    throw;
  }
  if (pushes_[name] >= kPushesToMaintenance && !maintaining_) {
    maintaining_ = true;
    pushes_[name] = 0;
    if (auto where = git_->existing(name.ns, name.name)) host_.tasks().spawn("git maintenance", maintain(*where));
  }
  co_return reconcile::Outcome::done();
}

async::Task<> RepositoryReconciler::remove(reconcile::Name name) {
  if (removed_) removed_(name);
  read_.erase(name);
  auto git = git_;
  auto removed = co_await host_.runtime().blocking([git, name] { return git->remove(name.ns, name.name); });
  // A name that was never valid has no files.
  if (!removed && removed.error().code != base::ErrorCode::kInvalid) throw base::from_error(removed.error());
}

async::Task<> RepositoryReconciler::ensure(reconcile::Pass& pass, reconcile::Name name) {
  const std::string branch = default_branch(pass.original());
  if (auto existing = git_->existing(name.ns, name.name); !existing) {
    auto created = co_await git_->create(name.ns, name.name, branch);
    if (!created) {
      pass.set_condition("Ready", false, "CannotCreate", created.error().message, host_.clock());
      co_await pass.commit();
      throw base::from_error(created.error());
    }
    base::log::info(kLog, "repository {}/{} created", name.ns, name.name);
  }
  const base::json::value* observed = base::find(pass.original(), "status.observedBranch");
  if (observed == nullptr || *observed != base::json::value(branch)) {
    // The default branch was changed in the object: HEAD follows.
    auto git = git_;
    auto where = git_->path(name.ns, name.name);
    auto head =
        co_await host_.runtime().blocking([git, where = *where, branch] { return git->set_head(where, branch); });
    if (!head) throw base::from_error(head.error());
    base::set(pass.object(), "status.observedBranch", base::json::value(branch));
  }
  base::set(pass.object(), "status.url",
            base::json::value(fmt::format("{}/git/{}/{}.git", host_.config().server_url(), name.ns, name.name)));
  if (!read_.contains(name)) co_await read_refs(pass, name);
  pass.set_condition("Ready", true, "Created", "git can fetch from and push to status.url", host_.clock());
}

async::Task<> RepositoryReconciler::read_refs(reconcile::Pass& pass, reconcile::Name name) {
  auto where = git_->existing(name.ns, name.name);
  if (!where) throw base::from_error(where.error());
  read_.insert(name);  // A push from here on takes it out again, and brings another pass.
  auto listed =
      co_await async::run_process(git_->command({"--git-dir", where->string(), "for-each-ref",
                                                 "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"}),
                                  "", std::chrono::seconds(60), 64u << 20);
  if (!listed || !listed->status.ok()) {
    read_.erase(name);
    throw base::internal_error(fmt::format("cannot read the refs of {}/{}: {}", name.ns, name.name,
                                           listed ? std::string(base::trim(listed->err)) : listed.error().message));
  }
  const Refs refs = parse_refs(listed->out);
  base::json::value& object = pass.object();
  if (base::find(object, "status.refs") == nullptr) base::set(object, "status.refs", base::json::object());
  const auto changes =
      record_refs(refs, base::find(object, "status.refs")->as_object(), base::rfc3339_micro(host_.clock().now()),
                  [this, &name](const RefChange& change) { return pusher_of(name, change); });
  for (const RefChange& change : changes)
    base::log::info(kLog, "{}/{} {} {} -> {}", name.ns, name.name, change.ref, change.before.substr(0, 12),
                    change.after.substr(0, 12));
}

// Packs loose objects and joins packs. One repository at a time, at the lowest priority.
async::Task<> RepositoryReconciler::maintain(std::filesystem::path repository) {
  auto options = git_->command({"--git-dir", repository.string(), "-c", "gc.auto=500", "-c", "gc.autoPackLimit=20",
                                "-c", "gc.autoDetach=false", "-c", "pack.threads=1", "gc", "--auto", "--quiet"});
  options.argv.insert(options.argv.begin(), {"nice", "-n", "19"});
  auto done = co_await async::run_process(std::move(options), "", std::chrono::hours(1));
  maintaining_ = false;
  if (!done || !done->status.ok())
    base::log::warn(kLog, "git gc in {}: {}", repository.string(),
                    done ? std::string(base::trim(done->err)) : done.error().message);
}

}  // namespace mainstay::source
