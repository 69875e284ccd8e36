#include "capabilities/pipelines/image_plan.h"

#include "base/strings.h"

namespace mainstay::pipelines {
namespace {

using Variables = std::map<std::string, std::string>;

// Words of an instruction, quotes taken off and variables put in; nullopt for forms we leave to others.
std::optional<std::vector<std::string>> words(std::string_view text, const Variables& variables) {
  std::vector<std::string> out;
  std::string word;
  bool open = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'') {
      if (++i >= text.size()) return std::nullopt;
      word += text[i];
      open = true;
    } else if (quote != '\0' ? c == quote : c == '"' || c == '\'') {
      quote = quote != '\0' ? '\0' : c;
      open = true;
    } else if (c == '$' && quote != '\'') {
      const bool braced = i + 1 < text.size() && text[i + 1] == '{';
      std::size_t end = i + (braced ? 2 : 1);
      const std::size_t start = end;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
      if (end == start || (braced && (end >= text.size() || text[end] != '}'))) return std::nullopt;
      if (const auto known = variables.find(std::string(text.substr(start, end - start))); known != variables.end())
        word += known->second;
      open = true;
      i = braced ? end : end - 1;
    } else if (quote == '\0' && (c == ' ' || c == '\t')) {
      if (open) out.push_back(std::exchange(word, ""));
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (quote != '\0') return std::nullopt;
  if (open) out.push_back(std::move(word));
  return out;
}

std::string absolute(std::string_view path, const std::string& folder) {
  const bool is_folder = path.ends_with('/') || path == "." || path.ends_with("/.");
  std::filesystem::path joined =
      path.starts_with('/') ? std::filesystem::path(path) : std::filesystem::path(folder) / path;
  std::string out = joined.lexically_normal();
  if (out.empty() || out[0] != '/') out = "/" + out;
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  if (is_folder && out != "/") out += '/';
  return out;
}

class Planner {
 public:
  Planner(const Variables& build_args, const json::object& base) : build_args_(build_args) {
    plan_.config = base;
    for (const json::value& entry : base::get_array(json::value(base), "Env")) {
      const std::string_view text = entry.is_string() ? std::string_view(entry.as_string()) : "";
      if (const auto equals = text.find('='); equals != std::string_view::npos)
        variables_[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
    folder_ = base::get_string(json::value(base), "WorkingDir", "/");
    if (folder_.empty()) folder_ = "/";
  }

  std::optional<ImagePlan> run(const Dockerfile& file) {
    bool begun = false;
    for (const Instruction& instruction : file.instructions) {
      if (instruction.keyword == "FROM") {
        if (begun) return std::nullopt;
        begun = true;
        continue;
      }
      if (!begun) continue;  // ARG before FROM is for FROM alone
      step_ = {};
      step_.line = instruction.line;
      step_.text = instruction.keyword + " " + instruction.arguments;
      if (!apply(instruction)) return std::nullopt;
      plan_.steps.push_back(std::move(step_));
    }
    return std::move(plan_);
  }

 private:
  bool apply(const Instruction& instruction) {
    const std::string& keyword = instruction.keyword;
    const std::string& text = instruction.arguments;
    if (text.contains('\n')) return false;
    if (keyword == "CMD" || keyword == "ENTRYPOINT") return command(keyword == "CMD", text);
    auto list = words(text, variables_);
    if (!list || list->empty()) return false;
    if (keyword == "COPY") return copy(*list, text);
    if (keyword == "ENV" || keyword == "LABEL") return pairs(keyword == "ENV", *list, text);
    if (keyword == "ARG") return argument(*list);
    if (keyword == "EXPOSE") return expose(*list);
    if (list->size() != 1) return false;
    const std::string& one = list->front();
    if (keyword == "WORKDIR") {
      folder_ = absolute(one, folder_);
      while (folder_.size() > 1 && folder_.ends_with('/')) folder_.pop_back();
      plan_.config["WorkingDir"] = folder_;
      step_.folder = folder_;
      return true;
    }
    if (keyword == "USER") plan_.config["User"] = one;
    if (keyword == "STOPSIGNAL") plan_.config["StopSignal"] = one;
    return keyword == "USER" || keyword == "STOPSIGNAL";
  }
  bool command(bool cmd, const std::string& text) {
    json::array argv{"/bin/sh", "-c", text};
    if (text.starts_with("[")) {
      auto parsed = base::parse_json(text, 3);
      if (!parsed || !parsed->is_array()) return false;
      argv = parsed->as_array();
      for (const json::value& word : argv)
        if (!word.is_string()) return false;
    }
    plan_.config[cmd ? "Cmd" : "Entrypoint"] = std::move(argv);
    cmd_set_ = cmd_set_ || cmd;
    // The base's command belongs to the base's entry point.
    if (!cmd && !cmd_set_) plan_.config.erase("Cmd");
    return true;
  }
  bool pairs(bool env, const std::vector<std::string>& list, const std::string& text) {
    std::vector<std::pair<std::string, std::string>> found;
    if (!list[0].contains('=')) {
      // The old form: one name, and the rest of the line.
      if (!env || list.size() < 2 || text.find_first_of("'\"\\$") != std::string::npos) return false;
      found.emplace_back(list[0], base::trim(std::string_view(text).substr(list[0].size())));
    } else {
      for (const std::string& word : list) {
        const auto equals = word.find('=');
        if (equals == std::string::npos || equals == 0) return false;
        found.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      }
    }
    for (const auto& [name, value] : found) {
      if (!env) {
        json::value& labels = plan_.config["Labels"];
        if (!labels.is_object()) labels = json::object();
        labels.as_object()[name] = value;
        continue;
      }
      json::value& all = plan_.config["Env"];
      if (!all.is_array()) all = json::array();
      const std::string prefix = name + "=";
      json::array kept;
      for (const json::value& known : all.as_array())
        if (!known.is_string() || !std::string_view(known.as_string()).starts_with(prefix)) kept.push_back(known);
      kept.push_back(json::string(prefix + value));
      all = std::move(kept);
      variables_[name] = value;
    }
    return true;
  }
  bool argument(const std::vector<std::string>& list) {
    for (const std::string& word : list) {
      const auto equals = word.find('=');
      const std::string name = word.substr(0, equals);
      if (const auto given = build_args_.find(name); given != build_args_.end()) {
        variables_[name] = given->second;
      } else if (equals != std::string::npos) {
        variables_[name] = word.substr(equals + 1);
      }
    }
    return true;
  }
  bool expose(const std::vector<std::string>& list) {
    json::value& ports = plan_.config["ExposedPorts"];
    if (!ports.is_object()) ports = json::object();
    for (const std::string& word : list) {
      const std::string number = word.substr(0, word.find('/'));
      if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) return false;
      ports.as_object()[word.contains('/') ? word : word + "/tcp"] = json::object();
    }
    return true;
  }
  bool copy(std::vector<std::string> list, const std::string& text) {
    if (text.starts_with("[") || text.contains("<<")) return false;
    while (!list.empty() && list[0].starts_with("--")) {
      const std::string flag = list[0];
      list.erase(list.begin());
      if (flag.starts_with("--chmod=")) {
        const std::string mode = flag.substr(8);
        if (mode.empty() || mode.size() > 5 || mode.find_first_not_of("01234567") != std::string::npos) return false;
        step_.mode = std::stol(mode, nullptr, 8);
      } else if (flag.starts_with("--chown=")) {
        const std::string owner = flag.substr(8), user = owner.substr(0, owner.find(':'));
        const std::string group = owner.contains(':') ? owner.substr(owner.find(':') + 1) : user;
        for (const auto& [name, id] :
             {std::pair<const std::string&, std::int64_t&>{user, step_.uid}, {group, step_.gid}}) {
          if (name == "root") continue;
          if (name.empty() || name.size() > 9 || name.find_first_not_of("0123456789") != std::string::npos)
            return false;
          id = std::stol(name);
        }
      } else {
        return false;
      }
    }
    if (list.size() < 2) return false;
    step_.destination = absolute(list.back(), folder_);
    list.pop_back();
    if (list.size() > 1 && !step_.destination.ends_with('/')) return false;
    for (const std::string& source : list) {
      const std::filesystem::path path =
          std::filesystem::path(source.starts_with('/') ? source.substr(1) : source).lexically_normal();
      if (path.string().starts_with("..")) return false;
      std::string normal = path.empty() ? std::string(".") : path.string();
      while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
      step_.sources.push_back(std::move(normal));
    }
    return true;
  }

  const Variables& build_args_;
  Variables variables_;
  std::string folder_;
  bool cmd_set_ = false;
  ImageStep step_;
  ImagePlan plan_;
};

}  // namespace

std::optional<std::string> native_base(const Dockerfile& file, const std::map<std::string, std::string>& build_args) {
  Variables variables;
  std::optional<std::string> base;
  for (const Instruction& instruction : file.instructions) {
    if (instruction.keyword == "ARG" && !base) {
      const auto list = words(instruction.arguments, variables);
      if (!list) return std::nullopt;
      for (const std::string& word : *list) {
        const auto equals = word.find('=');
        const std::string name = word.substr(0, equals);
        const auto given = build_args.find(name);
        variables[name] = given != build_args.end()     ? given->second
                          : equals == std::string::npos ? ""
                                                        : word.substr(equals + 1);
      }
    } else if (instruction.keyword == "FROM") {
      const auto list = words(instruction.arguments, variables);
      if (base || !list || list->empty() || list->front().starts_with("--") || list->front() == "scratch")
        return std::nullopt;
      base = list->front();
    }
  }
  return base;
}

std::optional<ImagePlan> plan_image(const Dockerfile& file, const std::map<std::string, std::string>& build_args,
                                    const json::object& base_config) {
  const json::value* triggers = base_config.if_contains("OnBuild");
  if (triggers != nullptr && triggers->is_array() && !triggers->as_array().empty()) return std::nullopt;
  return Planner(build_args, base_config).run(file);
}

}  // namespace mainstay::pipelines
