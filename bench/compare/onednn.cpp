// oneDNN for bench/compare.sh. Every operand lies as oneDNN likes it best and is brought there before the clock starts:
// weights, which is fair, as a model packs them once; but also images, which a network of plain tensors would have to
// reorder. So these are the times of its bare kernels.
#include <dnnl.hpp>
#include <unordered_map>

#include "server.hpp"

namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

// A primitive and its operands, filled with small numbers. The layout of each operand is the primitive's choice.
compare::Call call_of(const dnnl::primitive& primitive, const std::vector<std::pair<int, memory::desc>>& operands) {
  auto stream = std::make_shared<dnnl::stream>(engine());
  std::unordered_map<int, memory> arguments;
  for (const auto& [name, desc] : operands) {
    memory m(desc, engine());
    const memory::dims dims = desc.dims();
    long count = 1;
    for (const auto d : dims) count *= static_cast<long>(d);
    auto values = compare::numbers(count, 0.1F);
    memory::dims strides(dims.size(), 1);
    for (std::size_t d = dims.size() - 1; d > 0; --d) strides[d - 1] = strides[d] * dims[d];
    memory plain(memory::desc(dims, Type::f32, strides), engine(), values.data());
    dnnl::reorder(plain, m).execute(*stream, plain, m);
    stream->wait();
    arguments.emplace(name, m);
  }
  return [primitive, stream, arguments] {
    primitive.execute(*stream, arguments);
    stream->wait();
  };
}

compare::Call prepare(const compare::Shape& s) {
  if (s.type != "f32" && s.type != "bf16") return {};
  const Type type = s.type == "bf16" ? Type::bf16 : Type::f32;
  const auto any = [](const memory::dims& dims, Type t) { return memory::desc(dims, t, Tag::any); };
  const auto inference = dnnl::prop_kind::forward_inference;
  if (s.kind == "conv") {
    const long N = s.size.at(0), C = s.size.at(1), H = s.size.at(2), W = s.size.at(3), O = s.size.at(4),
               K = s.size.at(5), stride = s.size.at(6), pad = K / 2, OH = (H - 1) / stride + 1,
               OW = (W - 1) / stride + 1;
    const memory::dims after{(OH - 1) * stride + K - H - pad, (OW - 1) * stride + K - W - pad};
    const dnnl::convolution_forward::desc desc(inference, dnnl::algorithm::convolution_direct, any({N, C, H, W}, type),
                                               any({O, C, K, K}, type), any({O}, Type::f32), any({N, O, OH, OW}, type),
                                               {stride, stride}, {pad, pad}, after);
    const dnnl::convolution_forward::primitive_desc p(desc, engine());
    return call_of(dnnl::convolution_forward(p), {{DNNL_ARG_SRC, p.src_desc()},
                                                  {DNNL_ARG_WEIGHTS, p.weights_desc()},
                                                  {DNNL_ARG_BIAS, p.bias_desc()},
                                                  {DNNL_ARG_DST, p.dst_desc()}});
  }
  if (s.kind == "linear") {
    const long rows = s.size.at(0), in = s.size.at(1), out = s.size.at(2);
    const dnnl::inner_product_forward::desc desc(inference, any({rows, in}, type), any({out, in}, type),
                                                 any({out}, Type::f32), any({rows, out}, type));
    const dnnl::inner_product_forward::primitive_desc p(desc, engine());
    return call_of(dnnl::inner_product_forward(p), {{DNNL_ARG_SRC, p.src_desc()},
                                                    {DNNL_ARG_WEIGHTS, p.weights_desc()},
                                                    {DNNL_ARG_BIAS, p.bias_desc()},
                                                    {DNNL_ARG_DST, p.dst_desc()}});
  }
  if (s.type != "f32") return {};
  if (s.kind == "layer_norm") {
    const memory::desc x({s.size.at(0), s.size.at(1)}, Type::f32, Tag::ab);
    const dnnl::layer_normalization_forward::desc desc(
        inference, x, 1e-5F, dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift);
    const dnnl::layer_normalization_forward::primitive_desc p(desc, engine());
    const memory::desc gamma({s.size.at(1)}, Type::f32, Tag::a);
    return call_of(dnnl::layer_normalization_forward(p), {{DNNL_ARG_SRC, p.src_desc()},
                                                          {DNNL_ARG_SCALE, gamma},
                                                          {DNNL_ARG_SHIFT, gamma},
                                                          {DNNL_ARG_DST, p.dst_desc()}});
  }
  if (s.kind == "softmax") {
    const memory::desc x({s.size.at(0), s.size.at(1)}, Type::f32, Tag::ab);
    const dnnl::softmax_forward::primitive_desc p(dnnl::softmax_forward::desc(inference, x, 1), engine());
    return call_of(dnnl::softmax_forward(p), {{DNNL_ARG_SRC, p.src_desc()}, {DNNL_ARG_DST, p.dst_desc()}});
  }
  if (s.kind == "silu" || s.kind == "gelu") {
    const memory::desc x({s.size.at(0), s.size.at(1)}, Type::f32, Tag::ab);
    const auto algorithm = s.kind == "silu" ? dnnl::algorithm::eltwise_swish : dnnl::algorithm::eltwise_gelu_erf;
    const dnnl::eltwise_forward::primitive_desc p(dnnl::eltwise_forward::desc(inference, algorithm, x, 1.0F), engine());
    return call_of(dnnl::eltwise_forward(p), {{DNNL_ARG_SRC, p.src_desc()}, {DNNL_ARG_DST, p.dst_desc()}});
  }
  return {};  // 2.x has no attention and no group norm
}

}  // namespace

int main() { return compare::serve(prepare); }
