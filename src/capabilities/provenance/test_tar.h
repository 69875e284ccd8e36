// Small layers for the tests, written with libarchive.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mainstay::provenance {

inline void write_layer(const std::filesystem::path& path,
                        const std::vector<std::pair<std::string, std::string>>& files, const char* filter = "gzip") {
  archive* out = archive_write_new();
  archive_write_set_format_pax_restricted(out);
  if (std::string_view(filter) != "none") archive_write_add_filter_by_name(out, filter);
  archive_write_open_filename(out, path.c_str());
  for (const auto& [name, content] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    archive_write_header(out, entry);
    archive_write_data(out, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

inline std::string dpkg(const std::string& name, const std::string& version) {
  return "Package: " + name + "\nStatus: install ok installed\nVersion: " + version + "\nArchitecture: amd64\n\n";
}

}  // namespace mainstay::provenance
