// Label and field selectors, as in `kubectl get -l` and `--field-selector`, and as LabelSelector objects.
#pragma once
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::base {

class LabelSelector {
 public:
  static Result<LabelSelector> parse(std::string_view text);  // "a=b,c!=d,e in (f,g),!h,i"
  static Result<LabelSelector> from_json(
      const boost::json::value& v);  // {matchLabels, matchExpressions}; null selects nothing
  bool matches(const boost::json::object& labels) const;
  bool matches_object(const boost::json::value& object) const;  // by metadata.labels
  bool empty() const { return terms_.empty() && !nothing_; }    // selects everything
  std::string to_string() const;

 private:
  enum class Op { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  struct Term {
    std::string key;
    Op op;
    std::vector<std::string> values;
  };
  static Result<Term> parse_term(std::string_view text);
  static Result<> check(const Term& term);

  std::vector<Term> terms_;
  bool nothing_ = false;
};

class FieldSelector {
 public:
  static Result<FieldSelector> parse(std::string_view text);  // "metadata.name=x,status.phase!=Running"
  bool matches(const boost::json::value& object) const;
  bool empty() const { return terms_.empty(); }
  // Every path it asks for; the API refuses those a type does not declare.
  std::vector<std::string> paths() const;
  // The value required for the path by `=`; "" where there is none. Lets a list by metadata.name be a get.
  std::string required(std::string_view path) const;

 private:
  struct Term {
    std::string path;
    bool equal;
    std::string value;
  };
  std::vector<Term> terms_;
};

}  // namespace mainstay::base
