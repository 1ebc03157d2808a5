// Predict and explain a picture in C++ with a model that has its explanation inside.
//
// Build: g++ -std=c++17 -I$ORT/include explain.cpp -L$ORT/lib -lonnxruntime -o explain
// where ORT is an unpacked release of ONNX Runtime (github.com/microsoft/onnxruntime/releases).
// Use: ./explain FOLDER 1 3 224 224   (a folder that prepare.py made, and the shape in its about.json)
// Every output is written to FOLDER/NAME.bin, as its own type.

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

static void write(const std::string& path, const Ort::Value& tensor) {
  const auto info = tensor.GetTensorTypeAndShapeInfo();
  const size_t width = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL ? 1 : sizeof(float);
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(tensor.GetTensorRawData()), info.GetElementCount() * width);
}

static int run(const std::string& folder, const std::vector<int64_t>& shape) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "ddcam");
  Ort::Session session(environment, (folder + "/explained.onnx").c_str(), Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;

  std::vector<char> picture = read(folder + "/input.bin");
  const auto type = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType();
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  const auto input = Ort::Value::CreateTensor(memory, picture.data(), picture.size(), shape.data(), shape.size(), type);

  // The input "explain" is left out: it is true unless something else is fed.
  const std::string input_name = session.GetInputNameAllocated(0, allocator).get();
  std::vector<std::string> names;
  for (size_t i = 0; i < session.GetOutputCount(); ++i) {
    names.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  }
  std::vector<const char*> wanted;
  for (const auto& name : names) wanted.push_back(name.c_str());
  const char* fed[] = {input_name.c_str()};
  const auto outputs = session.Run(Ort::RunOptions{nullptr}, fed, &input, 1, wanted.data(), wanted.size());

  for (size_t i = 0; i < names.size(); ++i) {
    write(folder + "/" + names[i] + ".bin", outputs[i]);
    if (names[i] != "units") continue;
    const float* units = outputs[i].GetTensorData<float>();
    const size_t count = outputs[i].GetTensorTypeAndShapeInfo().GetElementCount();
    size_t kept = 0;
    for (size_t unit = 0; unit < count; ++unit) kept += units[unit] > 0;
    std::cout << kept << " of " << count << " units suffice\n";
  }
  return EXIT_SUCCESS;
}

int main(int count, char** arguments) {
  if (count < 3) {
    std::cerr << "expected a folder that prepare.py made and the shape of its input: explain FOLDER 1 3 224 224\n";
    return 2;
  }
  try {
    std::vector<int64_t> shape;
    for (int i = 2; i < count; ++i) shape.push_back(std::stoll(arguments[i]));
    return run(arguments[1], shape);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
