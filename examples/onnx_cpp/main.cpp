// Run a detector that `frcnn export` wrote (with or without --fixed), with ONNX Runtime alone.
//
//   detect best.onnx photo.ppm [least score]
//
// The picture is a binary PPM, as `convert photo.jpg photo.ppm` or Pillow write it: R, G and B bytes row by row.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
    int64_t height = 0, width = 0;
    std::vector<uint8_t> bytes;  // height x width x 3
};

// A number of a PPM's head, past blanks and comments.
int64_t number(std::istream& file) {
    while ((file >> std::ws).peek() == '#') file.ignore(1 << 20, '\n');
    int64_t value = 0;
    if (!(file >> value) || value < 1 || value > 1 << 16) throw std::runtime_error("no picture of a size to work with");
    return value;
}

Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    if (!(file >> kind) || kind != "P6") throw std::runtime_error(path + ": not a binary PPM");
    Picture picture;
    picture.width = number(file);
    picture.height = number(file);
    if (number(file) != 255) throw std::runtime_error(path + ": not of 8 bits");
    file.get();  // the one blank before the bytes
    picture.bytes.resize(static_cast<size_t>(3 * picture.height * picture.width));
    if (!file.read(reinterpret_cast<char*>(picture.bytes.data()), static_cast<std::streamsize>(picture.bytes.size())))
        throw std::runtime_error(path + ": ends too early");
    return picture;
}

// The names of a JSON list of strings, as the metadata have them; other escapes than of a sign stay as they are.
std::vector<std::string> names_of(const std::string& json) {
    std::vector<std::string> names;
    for (size_t at = json.find('"'); at != std::string::npos; at = json.find('"', at + 1)) {
        std::string name;
        while (++at < json.size() && json[at] != '"') {
            if (json[at] == '\\' && at + 1 < json.size() && json[at + 1] != 'u') ++at;
            name += json[at];
        }
        names.push_back(name);
    }
    return names;
}

int run(int count, char** words) {
    if (count < 3) throw std::runtime_error("give the ONNX file, a picture, and perhaps the least score");
    Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "detect");
    Ort::Session session(environment, words[1], Ort::SessionOptions());
    Ort::AllocatorWithDefaultOptions allocator;
    auto about = session.GetModelMetadata();
    auto told = [&](const char* key) {
        auto value = about.LookupCustomMetadataMapAllocated(key, allocator);
        return std::string(value ? value.get() : "");
    };
    const auto names = names_of(told("names"));
    Picture picture = read_ppm(words[2]);
    std::vector<int64_t> shape{1, picture.height, picture.width, 3};
    if (told("layout") == "nchw") {
        std::vector<uint8_t> planes(picture.bytes.size());
        const size_t pixels = planes.size() / 3;
        for (size_t at = 0; at < planes.size(); ++at) planes[at % 3 * pixels + at / 3] = picture.bytes[at];
        picture.bytes.swap(planes);
        shape = {1, 3, picture.height, picture.width};
    }
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<const char*> inputs{"images"};
    std::vector<Ort::Value> given;
    auto& bytes = picture.bytes;
    given.push_back(Ort::Value::CreateTensor(memory, bytes.data(), bytes.size(), shape.data(), shape.size()));
    std::vector<float> least(names.size(), count > 3 ? std::stof(words[3]) : 0.0F);
    const std::vector<int64_t> classes{static_cast<int64_t>(least.size())};
    if (count > 3) {  // without, the thresholds that the file was written with
        inputs.push_back("thresholds");
        given.push_back(Ort::Value::CreateTensor(memory, least.data(), least.size(), classes.data(), 1));
    }
    const bool fixed = !told("height").empty();  // then there are as many places always, and a count of those taken
    const std::vector<const char*> outputs{"boxes", "scores", "labels", fixed ? "count" : "image"};
    auto found = session.Run({}, inputs.data(), given.data(), given.size(), outputs.data(), outputs.size());
    const auto* boxes = found[0].GetTensorData<float>();
    const auto* scores = found[1].GetTensorData<float>();
    const auto* labels = found[2].GetTensorData<int64_t>();
    const auto places = static_cast<int64_t>(found[1].GetTensorTypeAndShapeInfo().GetElementCount());
    const auto taken = fixed ? *found[3].GetTensorData<int64_t>() : places;
    for (int64_t at = 0; at < taken; ++at) {
        std::printf("%s %.4f", names.at(static_cast<size_t>(labels[at])).c_str(), scores[at]);
        for (int edge = 0; edge < 4; ++edge) std::printf(" %.2f", boxes[4 * at + edge]);
        std::printf("\n");
    }
    return 0;
}

int main(int count, char** words) {
    try {
        return run(count, words);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "detect: %s\n", error.what());
        return 2;
    }
}
