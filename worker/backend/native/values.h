// Values of JavaScript in C++.
#pragma once
#include <node_api.h>

#include <string>

namespace tfnodejs {

inline napi_value Throw(napi_env env, const std::string &what) {
  napi_throw_error(env, nullptr, what.c_str());
  return nullptr;
}

inline napi_value Property(napi_env env, napi_value object, const char *name) {
  napi_value value = nullptr;
  napi_get_named_property(env, object, name, &value);
  return value;
}

inline std::string Text(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, &text[0], length + 1, &length);
  return text;
}

inline int64_t Number(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  int64_t number = 0;
  bool truth = false;
  if (type == napi_boolean) {
    napi_get_value_bool(env, value, &truth);
    return truth ? 1 : 0;
  }
  napi_get_value_int64(env, value, &number);
  return number;
}

}  // namespace tfnodejs
