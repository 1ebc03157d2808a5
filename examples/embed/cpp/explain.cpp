// Predict and explain a picture in C++ with a model that has its explanation inside.
//
// Build: g++ -std=c++17 -I$ORT/include explain.cpp -L$ORT/lib -lonnxruntime -o explain
// where ORT is an unpacked release of ONNX Runtime; ../README.md says where else headers and library can be had.
// Use: ./explain FOLDER 1 3 224 224   (a folder that prepare.py made, and the shape in its about.json)
// Every output is written to FOLDER/NAME.bin, as its own type, picture after picture; slashes in NAME become _.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

static std::vector<char> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("expected " + path + "; run prepare.py first");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static size_t width_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return 2;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return 4;
    default:
      throw std::runtime_error("expected floats, bytes or flags, got elements of ONNX's type " + std::to_string(type));
  }
}

static void append(const std::string& folder, std::string name, const Ort::Value& tensor, bool first) {
  for (char& letter : name) {
    if (letter == '/') letter = '_';
  }
  const auto info = tensor.GetTensorTypeAndShapeInfo();
  const std::string path = folder + "/" + name + ".bin";
  std::ofstream file(path, std::ios::binary | (first ? std::ios::trunc : std::ios::app));
  file.write(static_cast<const char*>(tensor.GetTensorRawData()), info.GetElementCount() * width_of(info.GetElementType()));
  if (!file) throw std::runtime_error("cannot write " + path);
}

static void say_units(const Ort::Value& tensor) {
  const float* units = tensor.GetTensorData<float>();
  const size_t count = tensor.GetTensorTypeAndShapeInfo().GetElementCount();
  size_t kept = 0;
  for (size_t unit = 0; unit < count; ++unit) kept += units[unit] > 0;
  std::cout << kept << " of " << count << " units suffice\n";
}

static void run(const std::string& folder, std::vector<int64_t> shape) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "ddcam");
  Ort::Session session(environment, (folder + "/explained.onnx").c_str(), Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;

  // The input "explain" is left out: it is true unless something else is fed.
  const std::string input_name = session.GetInputNameAllocated(0, allocator).get();
  std::vector<std::string> names;
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    names.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  }
  std::vector<const char*> wanted;
  for (const auto& name : names) wanted.push_back(name.c_str());
  const char* fed[] = {input_name.c_str()};

  std::vector<char> pictures = read(folder + "/input.bin");
  const auto type = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType();
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  const int64_t count = shape[0];
  shape[0] = 1;
  size_t bytes = width_of(type);
  for (const int64_t side : shape) bytes *= side;
  if (pictures.size() != count * bytes) throw std::runtime_error("expected the shape that stands in about.json");
  for (int64_t i = 0; i < count; ++i) {
    const auto input = Ort::Value::CreateTensor(memory, pictures.data() + i * bytes, bytes, shape.data(), shape.size(), type);
    const auto outputs = session.Run(Ort::RunOptions{nullptr}, fed, &input, 1, wanted.data(), wanted.size());
    for (size_t k = 0; k < names.size(); ++k) {
      append(folder, names[k], outputs[k], i == 0);
      if (names[k] == "units") say_units(outputs[k]);
    }
  }
}

int main(int count, char** arguments) {
  if (count < 3) {
    std::cerr << "expected a folder that prepare.py made and the shape of its input: explain FOLDER 1 3 224 224\n";
    return 2;
  }
  try {
    std::vector<int64_t> shape;
    for (int i = 2; i < count; ++i) shape.push_back(std::stoll(arguments[i]));
    run(arguments[1], shape);
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
