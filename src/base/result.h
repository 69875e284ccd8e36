// Expected failures as values. An exception means "abandon this request" (base/status.h), an assert means a bug.
#pragma once
#include <expected>
#include <string>
#include <utility>

namespace mainstay::base {

enum class ErrorCode {
  kInvalid,  // the input is wrong; the message names the field, the reason and the mend
  kNotFound,
  kAlreadyExists,
  kConflict,  // the thing changed since it was read
  kUnauthenticated,
  kForbidden,
  kTooLarge,  // over a documented bound
  kTimeout,
  kCancelled,
  kUnavailable,  // a peer or engine does not answer; worth trying again
  kExhausted,    // disk, memory, addresses, slots
  kInternal,
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // a sentence for people, without secrets
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace mainstay::base

#define MAINSTAY_CONCAT_(a, b) a##b
#define MAINSTAY_CONCAT(a, b) MAINSTAY_CONCAT_(a, b)

// MAINSTAY_TRY(auto x, f()); returns f's error from the enclosing function, or binds its value. CO_TRY is the same in a
// coroutine.
#define MAINSTAY_TRY_(tmp, decl, expr, ret)              \
  auto tmp = (expr);                                     \
  if (!tmp) ret std::unexpected(std::move(tmp).error()); \
  decl = *std::move(tmp)
#define MAINSTAY_TRY(decl, expr) MAINSTAY_TRY_(MAINSTAY_CONCAT(try_, __COUNTER__), decl, expr, return)
#define MAINSTAY_CO_TRY(decl, expr) MAINSTAY_TRY_(MAINSTAY_CONCAT(try_, __COUNTER__), decl, expr, co_return)
// For Result<void>.
#define MAINSTAY_TRY_VOID(expr) \
  if (auto try_void = (expr); !try_void) return std::unexpected(std::move(try_void).error())
#define MAINSTAY_CO_TRY_VOID(expr) \
  if (auto try_void = (expr); !try_void) co_return std::unexpected(std::move(try_void).error())
