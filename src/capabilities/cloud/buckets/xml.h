// The little XML of the S3 API: what clients send (lists of keys and parts) and what they are answered.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::cloud {

struct XmlNode {
  std::string name, text;  // without prefix; the text of its own, entities resolved
  std::vector<XmlNode> children;
  std::string value(std::string_view child) const;  // the first child's text; "" where missing
};
// One document. No document type, no processing instructions but the declaration, no entities but the five and numeric
// ones; at most 8 levels and 50,000 elements. kInvalid says what is wrong.
base::Result<XmlNode> parse_xml(std::string_view text);

// <name>text</name>
std::string xml_element(std::string_view name, std::string_view text);
// The declaration and <root xmlns="http://s3.amazonaws.com/doc/2006-03-01/">content</root>.
std::string xml_document(std::string_view root, std::string_view content);

}  // namespace mainstay::cloud
