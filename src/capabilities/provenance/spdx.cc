#include "capabilities/provenance/spdx.h"

#include "base/clock.h"

namespace mainstay::provenance {

namespace json = base::json;

namespace {

// SPDX identifiers take letters, digits, dots and hyphens only.
std::string identifier(const Package& package, std::size_t number) {
  std::string name = fmt::format("SPDXRef-Package-{}-{}-{}", package.type, package.name, number);
  for (char& c : name) {
    const bool good =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    if (!good) c = '-';
  }
  return name;
}

// SPDX 2.3 6.9 takes whole seconds only.
std::string whole_seconds(const std::string& time) {
  const auto parsed = base::parse_rfc3339(time);
  return parsed ? base::rfc3339(*parsed) : time;
}

json::object relationship(std::string_view from, std::string_view type, std::string_view to) {
  return {{"spdxElementId", from}, {"relationshipType", type}, {"relatedSpdxElement", to}};
}

json::object external_reference(std::string_view category, std::string_view type, std::string_view locator) {
  return {{"referenceCategory", category}, {"referenceType", type}, {"referenceLocator", locator}};
}

json::object package_entry(const Package& package, const std::string& id, const OsRelease& os) {
  json::object out{{"SPDXID", id},
                   {"name", package.name},
                   {"versionInfo", package.version},
                   {"downloadLocation", "NOASSERTION"},
                   {"filesAnalyzed", false},
                   {"licenseConcluded", "NOASSERTION"},
                   // What packages write there is not always an SPDX expression, so it goes into the comment.
                   {"licenseDeclared", "NOASSERTION"},
                   {"copyrightText", "NOASSERTION"},
                   {"supplier", package.supplier.empty() ? "NOASSERTION" : "Organization: " + package.supplier}};
  if (!package.license.empty()) out["licenseComments"] = "declared by the package: " + package.license;
  if (!package.source.empty()) {
    const std::string& version = package.source_version.empty() ? package.version : package.source_version;
    out["sourceInfo"] = fmt::format("built from {} {}", package.source, version);
  }
  out["externalRefs"] = json::array{external_reference("PACKAGE-MANAGER", "purl", package_url(package, os))};
  return out;
}

}  // namespace

std::string spdx_document(const SbomSubject& subject, const ImagePackages& image) {
  constexpr std::string_view kImage = "SPDXRef-Image";
  const std::string hex = subject.digest.substr(subject.digest.find(':') + 1);
  json::array packages, relationships;
  json::object root{{"SPDXID", kImage},
                    {"name", subject.reference},
                    {"versionInfo", subject.digest},
                    {"downloadLocation", "NOASSERTION"},
                    {"filesAnalyzed", false},
                    {"licenseConcluded", "NOASSERTION"},
                    {"licenseDeclared", "NOASSERTION"},
                    {"copyrightText", "NOASSERTION"},
                    {"primaryPackagePurpose", "CONTAINER"}};
  root["checksums"] = json::array{json::object{{"algorithm", "SHA256"}, {"checksumValue", hex}}};
  if (!image.os.pretty_name.empty()) root["comment"] = image.os.pretty_name;
  packages.push_back(std::move(root));
  relationships.push_back(relationship("SPDXRef-DOCUMENT", "DESCRIBES", kImage));
  std::size_t number = 0;
  for (const auto& package : image.packages) {
    const std::string id = identifier(package, ++number);
    packages.push_back(package_entry(package, id, image.os));
    relationships.push_back(relationship(kImage, "CONTAINS", id));
  }
  json::object document{
      {"spdxVersion", "SPDX-2.3"},
      {"dataLicense", "CC0-1.0"},
      {"SPDXID", "SPDXRef-DOCUMENT"},
      {"name", fmt::format("{}@{}", subject.reference, subject.digest)},
      {"documentNamespace", fmt::format("{}/sbom/{}@{}", subject.issuer, subject.reference, subject.digest)}};
  document["creationInfo"] =
      json::object{{"created", whole_seconds(subject.created)}, {"creators", json::array{"Tool: mainstay"}}};
  document["packages"] = std::move(packages);
  document["relationships"] = std::move(relationships);
  return base::to_json(document);
}

}  // namespace mainstay::provenance
