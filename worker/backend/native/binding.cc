// tfjs-node's addon with what a training step needs beside it: an operation called by number, with its attributes prepared, its
// inputs as arguments and the shape of its output in a buffer, since a step calls a hundred of a few microseconds each. And files
// mapped over memory, by which processes of one host share theirs.
#include <node_api.h>

#include <cstring>
#include <string>
#include <vector>

#include "file-mapping.h"
#include "tensorflow/c/eager/c_api.h"
#include "tensorflow/c/eager/c_api_experimental.h"
#include "tf_auto_tensor.h"
#include "values.h"

// The module is registered below, with more functions.
#undef NAPI_MODULE
#define NAPI_MODULE(name, init)
#include "tfjs_binding.cc"

namespace tfnodejs {
namespace {

// Tensors are those of tfjs-node's backend, which keeps them to itself: an explicit instantiation may name private members.
template <typename Tag, typename Tag::Type member>
struct Grant {
  friend typename Tag::Type Get(Tag) { return member; }
};
struct Context {
  using Type = TFE_Context *TFJSBackend::*;
  friend Type Get(Context);
};
struct Handles {
  using Type = std::unordered_map<int32_t, TFE_TensorHandle *> TFJSBackend::*;
  friend Type Get(Handles);
};
struct NextTensor {
  using Type = int32_t TFJSBackend::*;
  friend Type Get(NextTensor);
};
struct Device {
  using Type = std::string TFJSBackend::*;
  friend Type Get(Device);
};
template struct Grant<Context, &TFJSBackend::tfe_context_>;
template struct Grant<Handles, &TFJSBackend::tfe_handle_map_>;
template struct Grant<NextTensor, &TFJSBackend::next_tensor_id_>;
template struct Grant<Device, &TFJSBackend::device_name>;

struct Attribute {
  std::string name;
  int32_t type;
  bool list;
  std::vector<int64_t> numbers;
  std::vector<std::string> texts;
};

struct Operation {
  std::string name;
  std::vector<Attribute> attributes;
};

constexpr size_t kMostInputs = 8;
constexpr int kMostDimensions = 8;

// A thread has an environment of its own, and a backend.
thread_local std::vector<Operation> operations;
thread_local TFE_Op *reused = nullptr;
thread_local int32_t *shape = nullptr;  // [rank, extents …], the memory of a typed array

Attribute ReadAttribute(napi_env env, napi_value object) {
  Attribute attribute{Text(env, Property(env, object, "name")), 0, false, {}, {}};
  attribute.type = static_cast<int32_t>(Number(env, Property(env, object, "type")));
  const auto read = [&](napi_value value) {
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    if (type == napi_string) attribute.texts.push_back(Text(env, value));
    else attribute.numbers.push_back(Number(env, value));
  };
  const napi_value value = Property(env, object, "value");
  napi_is_array(env, value, &attribute.list);
  uint32_t length = 0;
  if (attribute.list) napi_get_array_length(env, value, &length);
  else read(value);
  for (uint32_t index = 0; index < length; index++) {
    napi_value element = nullptr;
    napi_get_element(env, value, index, &element);
    read(element);
  }
  return attribute;
}

/** defineOp(name, attributes): a number for runOp. */
napi_value DefineOp(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  Operation operation{Text(env, arguments[0]), {}};
  uint32_t length = 0;
  napi_get_array_length(env, arguments[1], &length);
  for (uint32_t index = 0; index < length; index++) {
    napi_value object = nullptr;
    napi_get_element(env, arguments[1], index, &object);
    operation.attributes.push_back(ReadAttribute(env, object));
  }
  operations.push_back(operation);
  napi_value number = nullptr;
  napi_create_int32(env, static_cast<int32_t>(operations.size() - 1), &number);
  return number;
}

/** useShape(Int32Array of 9): where runOp leaves the rank and the extents of an output. */
napi_value UseShape(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value array;
  napi_get_cb_info(env, info, &count, &array, nullptr, nullptr);
  napi_typedarray_type type;
  size_t length = 0;
  void *data = nullptr;
  const napi_status got = napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr);
  if (got != napi_ok || type != napi_int32_array || length < kMostDimensions + 1)
    return Throw(env, "useShape takes an Int32Array of 9");
  napi_ref kept = nullptr;  // as long as the thread, which has one such array
  napi_create_reference(env, array, 1, &kept);
  shape = static_cast<int32_t *>(data);
  return nullptr;
}

void SetTexts(TFE_Op *op, const Attribute &attribute) {
  const auto &texts = attribute.texts;
  if (!attribute.list) return TFE_OpSetAttrString(op, attribute.name.c_str(), texts[0].data(), texts[0].size());
  std::vector<const void *> values;
  std::vector<size_t> lengths;
  for (const std::string &text : texts) {
    values.push_back(text.data());
    lengths.push_back(text.size());
  }
  TFE_OpSetAttrStringList(op, attribute.name.c_str(), values.data(), lengths.data(), static_cast<int>(texts.size()));
}

void SetAttribute(TFE_Op *op, const Attribute &attribute) {
  const char *name = attribute.name.c_str();
  const auto &numbers = attribute.numbers;
  switch (attribute.type) {
    case TF_ATTR_STRING:
      return SetTexts(op, attribute);
    case TF_ATTR_INT:
      if (attribute.list) return TFE_OpSetAttrIntList(op, name, numbers.data(), static_cast<int>(numbers.size()));
      return TFE_OpSetAttrInt(op, name, numbers[0]);
    case TF_ATTR_BOOL:
      return TFE_OpSetAttrBool(op, name, numbers[0] != 0);
    default:
      return TFE_OpSetAttrType(op, name, static_cast<TF_DataType>(numbers[0]));
  }
}

/** runOp(number, ...inputs): the id of the one output. */
napi_value RunOp(napi_env env, napi_callback_info info) {
  size_t count = kMostInputs + 1;
  napi_value arguments[kMostInputs + 1];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  int32_t ids[kMostInputs + 1] = {-1};
  for (size_t index = 0; index < count && index <= kMostInputs; index++)
    napi_get_value_int32(env, arguments[index], &ids[index]);
  TFJSBackend *const backend = GetTFJSBackend(env);
  if (backend == nullptr) return nullptr;
  if (shape == nullptr) return Throw(env, "useShape comes first");
  if (count > kMostInputs + 1 || ids[0] < 0 || static_cast<size_t>(ids[0]) >= operations.size())
    return Throw(env, "runOp takes the number of an operation that is defined, and 8 inputs at most");
  const Operation &operation = operations[ids[0]];
  const std::string &device = backend->*Get(Device());
  auto &handles = backend->*Get(Handles());

  TF_AutoStatus status;
  const auto failed = [&] { return TF_GetCode(status.status) != TF_OK; };
  const auto fail = [&] { return Throw(env, operation.name + ": " + TF_Message(status.status)); };
  if (reused == nullptr) reused = TFE_NewOp(backend->*Get(Context()), operation.name.c_str(), status.status);
  if (failed()) return fail();
  TFE_OpReset(reused, operation.name.c_str(), device.c_str(), status.status);
  if (failed()) return fail();
  for (size_t index = 1; index < count; index++) {
    const auto found = handles.find(ids[index]);
    if (found == handles.end()) return Throw(env, operation.name + ": there is no tensor " + std::to_string(ids[index]));
    TFE_OpAddInput(reused, found->second, status.status);
    if (failed()) return fail();
  }
  for (const Attribute &attribute : operation.attributes) SetAttribute(reused, attribute);

  TFE_TensorHandle *output = nullptr;
  int outputs = 1;
  TFE_Execute(reused, &output, &outputs, status.status);
  if (failed()) return fail();
  const int rank = TFE_TensorHandleNumDims(output, status.status);
  if (failed()) return fail();
  if (rank > kMostDimensions) return Throw(env, operation.name + ": an output of more than 8 dimensions");
  shape[0] = rank;
  for (int axis = 0; axis < rank; axis++)
    shape[axis + 1] = static_cast<int32_t>(TFE_TensorHandleDim(output, axis, status.status));
  const int32_t id = (backend->*Get(NextTensor()))++;
  handles.emplace(id, output);
  napi_value result = nullptr;
  napi_create_int32(env, id, &result);
  return result;
}

void Copy(float *to, const float *from, size_t count) { memcpy(to, from, count * sizeof(float)); }

void Add(float *__restrict__ to, const float *__restrict__ from, size_t count) {
  for (size_t index = 0; index < count; index++) to[index] += from[index];
}

/** copyTo, addTo(id, Float32Array): a tensor's values to a place of its size. */
template <void (*write)(float *, const float *, size_t)>
napi_value WriteTo(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  TFJSBackend *const backend = GetTFJSBackend(env);
  if (backend == nullptr) return nullptr;
  const auto &handles = backend->*Get(Handles());
  const auto found = handles.find(static_cast<int32_t>(Number(env, arguments[0])));
  if (found == handles.end()) return Throw(env, "there is no such tensor");
  napi_typedarray_type type;
  size_t length = 0;
  void *data = nullptr;
  const napi_status got = napi_get_typedarray_info(env, arguments[1], &type, &length, &data, nullptr, nullptr);
  TF_AutoStatus status;
  const TF_AutoTensor tensor(TFE_TensorHandleResolve(found->second, status.status));
  if (tensor.tensor == nullptr) return Throw(env, TF_Message(status.status));
  const bool floats = got == napi_ok && type == napi_float32_array && TF_TensorType(tensor.tensor) == TF_FLOAT;
  if (!floats || TF_TensorByteSize(tensor.tensor) != length * sizeof(float))
    return Throw(env, "a tensor goes to a place of its size, in float32");
  write(static_cast<float *>(data), static_cast<const float *>(TF_TensorData(tensor.tensor)), length);
  return nullptr;
}

}  // namespace
}  // namespace tfnodejs

NAPI_MODULE_INIT() {
  napi_value module = tfnodejs::InitTFNodeJSBinding(env, exports);
  if (module == nullptr) return nullptr;
  const napi_property_descriptor functions[] = {
      {"defineOp", nullptr, tfnodejs::DefineOp, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"useShape", nullptr, tfnodejs::UseShape, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"runOp", nullptr, tfnodejs::RunOp, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"copyTo", nullptr, tfnodejs::WriteTo<tfnodejs::Copy>, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"addTo", nullptr, tfnodejs::WriteTo<tfnodejs::Add>, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"mapFile", nullptr, tfnodejs::MapFile, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"unmapFile", nullptr, tfnodejs::UnmapFile, nullptr, nullptr, nullptr, napi_default, nullptr},
  };
  napi_define_properties(env, module, sizeof functions / sizeof functions[0], functions);
  return module;
}
