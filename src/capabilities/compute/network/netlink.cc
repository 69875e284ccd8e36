#include "capabilities/compute/network/netlink.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

namespace mainstay::compute {
namespace {

// Builds one message: header, fixed part, attributes (nested ones are closed in reverse order).
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    append(&header, sizeof header);
  }
  template <class T>
  Message& fixed(const T& part) {
    append(&part, sizeof part);
    return *this;
  }
  Message& attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{static_cast<std::uint16_t>(RTA_LENGTH(size)), type};
    append(&header, sizeof header);
    append(data, size);
    return *this;
  }
  Message& text(std::uint16_t type, const std::string& value) {
    return attribute(type, value.c_str(), value.size() + 1);
  }
  template <class T>
  Message& number(std::uint16_t type, T value) {
    return attribute(type, &value, sizeof value);
  }
  std::size_t open(std::uint16_t type) {
    const std::size_t at = bytes_.size();
    rtattr header{0, type};
    append(&header, sizeof header);
    return at;
  }
  void close(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
  }
  std::string take() {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof length);
    return std::move(bytes_);
  }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});  // NLMSG_ALIGN
  }
  std::string bytes_;
};

ifinfomsg any_link() {
  ifinfomsg out{};
  out.ifi_family = AF_UNSPEC;
  return out;
}

base::Result<int> index_of(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return errno_error("network link " + name, ENODEV);
  return static_cast<int>(index);
}

}  // namespace

base::Result<Netlink> Netlink::open() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.ok()) return errno_error("netlink");
  const struct timeval limit{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return Netlink(std::move(fd));
}

base::Result<> Netlink::ask(std::string message, std::string_view what) {
  nlmsghdr header{};
  std::memcpy(&header, message.data(), sizeof header);
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  if (::send(fd_.get(), message.data(), message.size(), 0) < 0) return errno_error(what);
  alignas(nlmsghdr) char buffer[16384];
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(what);
    int left = static_cast<int>(n);
    for (auto* h = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(h, static_cast<unsigned>(left));
         h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_seq != sequence_ || h->nlmsg_type != NLMSG_ERROR) continue;
      const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(h));
      if (error->error == 0) return {};
      return errno_error(what, -error->error);
    }
  }
}

base::Result<> Netlink::add_bridge(const std::string& name) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  // An address of its own, locally administered, from its name (FNV-1a). A bridge without one takes the lowest of its
  // ports': it would change whenever a pod comes or goes, and pods that have the old one in their neighbour table could
  // not reach the node until that entry ages, half a minute later.
  std::uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  const std::array<std::uint8_t, 6> address{0x02,
                                            0x6d,
                                            static_cast<std::uint8_t>(hash >> 24),
                                            static_cast<std::uint8_t>(hash >> 16),
                                            static_cast<std::uint8_t>(hash >> 8),
                                            static_cast<std::uint8_t>(hash)};
  m.fixed(any_link()).text(IFLA_IFNAME, name).attribute(IFLA_ADDRESS, address.data(), address.size());
  const std::size_t info = m.open(IFLA_LINKINFO);
  m.text(IFLA_INFO_KIND, "bridge");
  m.close(info);
  return ask(m.take(), "making bridge " + name);
}

base::Result<> Netlink::add_address(const std::string& link, std::uint32_t address, unsigned prefix) {
  MAINSTAY_TRY(const int index, index_of(link));
  ifaddrmsg a{};
  a.ifa_family = AF_INET;
  a.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  a.ifa_index = static_cast<unsigned>(index);
  const std::uint32_t wire = htonl(address);
  const std::uint32_t broadcast = htonl(address | (prefix >= 32 ? 0 : 0xffffffffu >> prefix));
  Message m(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  m.fixed(a).number(IFA_LOCAL, wire).number(IFA_ADDRESS, wire).number(IFA_BROADCAST, broadcast);
  return ask(m.take(), "address of " + link);
}

base::Result<> Netlink::set_up(const std::string& link) {
  MAINSTAY_TRY(const int index, index_of(link));
  ifinfomsg i = any_link();
  i.ifi_index = index;
  i.ifi_flags = IFF_UP;
  i.ifi_change = IFF_UP;
  Message m(RTM_NEWLINK, 0);
  m.fixed(i);
  return ask(m.take(), "starting link " + link);
}

base::Result<> Netlink::add_veth(const std::string& name, const std::string& peer, int peer_namespace) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  m.fixed(any_link()).text(IFLA_IFNAME, name);
  const std::size_t info = m.open(IFLA_LINKINFO);
  m.text(IFLA_INFO_KIND, "veth");
  const std::size_t data = m.open(IFLA_INFO_DATA);
  const std::size_t other = m.open(VETH_INFO_PEER);
  m.fixed(any_link())
      .text(IFLA_IFNAME, peer)
      .number<std::uint32_t>(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_namespace));
  m.close(other);
  m.close(data);
  m.close(info);
  return ask(m.take(), "making link " + name);
}

namespace {

rtmsg route(unsigned char bits, unsigned char scope) {
  rtmsg r{};
  r.rtm_family = AF_INET;
  r.rtm_dst_len = bits;
  r.rtm_table = RT_TABLE_MAIN;
  r.rtm_protocol = RTPROT_BOOT;
  r.rtm_scope = scope;
  r.rtm_type = RTN_UNICAST;
  return r;
}

}  // namespace

base::Result<> Netlink::add_host_route(const std::string& link, std::uint32_t address, std::uint32_t source) {
  MAINSTAY_TRY(const int index, index_of(link));
  Message m(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  m.fixed(route(32, RT_SCOPE_LINK)).number(RTA_DST, htonl(address)).number<std::int32_t>(RTA_OIF, index);
  if (source != 0) m.number(RTA_PREFSRC, htonl(source));
  return ask(m.take(), "route to " + link);
}

base::Result<> Netlink::add_default_route(std::uint32_t gateway) {
  Message m(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  m.fixed(route(0, RT_SCOPE_UNIVERSE)).number<std::uint32_t>(RTA_GATEWAY, htonl(gateway));
  return ask(m.take(), "default route");
}

base::Result<> Netlink::remove_link(const std::string& name) {
  MAINSTAY_TRY(const int index, index_of(name));
  ifinfomsg i = any_link();
  i.ifi_index = index;
  Message m(RTM_DELLINK, 0);
  m.fixed(i);
  return ask(m.take(), "removing link " + name);
}

}  // namespace mainstay::compute
