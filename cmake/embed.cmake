# Writes OUT, a C++ file that defines mainstay::embedded::FUNCTION() over the text FILES (| between them, relative to ROOT).
string(REPLACE "|" ";" FILES "${FILES}")
set(entries "")
foreach(file ${FILES})
  file(READ "${ROOT}/${file}" text)
  string(APPEND entries "  {\"${file}\", std::string_view(R\"mainstay~(${text})mainstay~\")},\n")
endforeach()
file(WRITE "${OUT}" "#include \"base/embedded.h\"\n\nnamespace mainstay::embedded {\nnamespace {\nconstexpr base::EmbeddedFile kFiles[] = {\n${entries}};\n}\nbase::EmbeddedFiles ${FUNCTION}();\nbase::EmbeddedFiles ${FUNCTION}() { return kFiles; }\n}  // namespace mainstay::embedded\n")
