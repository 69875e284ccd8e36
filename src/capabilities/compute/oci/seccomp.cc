#include "capabilities/compute/oci/seccomp.h"

#include <initializer_list>
#include <string_view>

namespace mainstay::compute {
namespace json = boost::json;
namespace {

constexpr int kEperm = 1, kEnosys = 38;
constexpr std::uint64_t kCloneNewUser = 0x10000000;
// Every CLONE_NEW*: a container gets no namespaces of its own making.
constexpr std::uint64_t kCloneNamespaces = 0x7e020000;

json::array names(std::initializer_list<std::string_view> list) {
  json::array out;
  for (std::string_view name : list) out.push_back(json::string(name));
  return out;
}

json::array refused_always() {
  return names({"acct",
                "add_key",
                "bpf",
                "clock_settime",
                "clock_settime64",
                "delete_module",
                "finit_module",
                "fsconfig",
                "fsmount",
                "fsopen",
                "fspick",
                "init_module",
                "io_uring_enter",
                "io_uring_register",
                "io_uring_setup",
                "ioperm",
                "iopl",
                "kexec_file_load",
                "kexec_load",
                "keyctl",
                "lookup_dcookie",
                "move_mount",
                "nfsservctl",
                "open_by_handle_at",
                "open_tree",
                "perf_event_open",
                "pivot_root",
                "process_vm_readv",
                "process_vm_writev",
                "ptrace",
                "quotactl",
                "quotactl_fd",
                "reboot",
                "request_key",
                "setdomainname",
                "setns",
                "settimeofday",
                "swapoff",
                "swapon",
                "syslog",
                "userfaultfd",
                "uselib",
                "ustat",
                "vhangup",
                "vm86",
                "vm86old"});
}

json::object profile(json::array rules) {
  return {{"defaultAction", "SCMP_ACT_ALLOW"},
          {"architectures", names({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"})},
          {"syscalls", std::move(rules)}};
}

json::object refuse(json::array list, int error) {
  return {{"names", std::move(list)}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", error}};
}

// Refuses the call where its flags hold any of `bits`: one rule a bit, since MASKED_EQ compares all at once.
void refuse_flags(json::array& rules, std::string_view call, std::uint64_t bits) {
  for (std::uint64_t bit = 1; bit <= bits && bit != 0; bit <<= 1) {
    if ((bits & bit) == 0) continue;
    json::object rule = refuse(names({call}), kEperm);
    rule["args"] =
        json::array{json::object{{"index", 0}, {"value", bit}, {"valueTwo", bit}, {"op", "SCMP_CMP_MASKED_EQ"}}};
    rules.push_back(std::move(rule));
  }
}

}  // namespace

json::object default_seccomp() {
  json::array refused = refused_always();
  for (const char* more : {"mount", "umount", "umount2", "mount_setattr", "sethostname", "name_to_handle_at",
                           "fanotify_init", "migrate_pages", "move_pages", "set_mempolicy", "mbind"})
    refused.push_back(json::string(more));
  json::array rules{refuse(std::move(refused), kEperm)};
  refuse_flags(rules, "clone", kCloneNewUser);
  refuse_flags(rules, "unshare", kCloneNamespaces);
  // Its flags lie in memory, where a filter cannot look: C libraries fall back on clone.
  rules.push_back(refuse(names({"clone3"}), kEnosys));
  return profile(std::move(rules));
}

json::object build_seccomp() { return profile(json::array{refuse(refused_always(), kEperm)}); }

}  // namespace mainstay::compute
