// Every recorded operation, with its gradients, in double, through one set of kernels. A program for each of the two
// sets calls check_recorded_operations(): compiled side by side, they take half the time.
#pragma once
#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "backends.hpp"
#include "inkling/io/safetensors.hpp"
#include "support.hpp"

namespace inkling_test {

using namespace inkling;
using namespace inkling::kernels;

template <std::size_t N>
struct Rank {
  static constexpr std::size_t value = N;
};
template <class Body>
void with_rank(std::size_t rank, Body&& body) {
  switch (rank) {
    case 1:
      return body(Rank<1>{});
    case 2:
      return body(Rank<2>{});
    case 3:
      return body(Rank<3>{});
    case 4:
      return body(Rank<4>{});
    default:
      FAIL("an operation on a tensor of rank " << rank);
  }
}

// One recorded case: hands out its tensors, compares results, and knows at the end what nobody asked for.
class Case {
 public:
  Case(const SafetensorsFile& file, const nlohmann::json& entry)
      : name(entry.at("name").get<std::string>()),
        op(entry.at("op").get<std::string>()),
        params(entry.at("params")),
        file_(file) {
    for (const auto& tensor : entry.at("tensors")) unused_.insert(tensor.get<std::string>());
  }

  bool has(const std::string& tensor) const { return file_.contains(name + "/" + tensor); }
  const std::vector<Index>& shape(const std::string& tensor) const { return file_.shape(name + "/" + tensor); }
  std::size_t rank(const std::string& tensor) const { return shape(tensor).size(); }
  Index integer(const char* key, Index otherwise) const {
    return params.contains(key) ? params.at(key).get<Index>() : otherwise;
  }
  double number(const char* key) const { return params.at(key).get<double>(); }

  template <std::size_t N, class T = double>
  Tensor<T, N> read(const std::string& tensor) {
    REQUIRE(rank(tensor) == N);
    return read_padded<N, T>(tensor);
  }
  // With dimensions of 1 appended until there are N.
  template <std::size_t N, class T = double>
  Tensor<T, N> read_padded(const std::string& tensor) {
    unused_.erase(tensor);
    const std::vector<Index>& stored = shape(tensor);
    REQUIRE(stored.size() <= N);
    Shape<N> padded{};
    for (std::size_t d = 0; d < N; ++d) padded[d] = d < stored.size() ? stored[d] : 1;
    Tensor<T, N> out(padded);
    file_.read(name + "/" + tensor, out.span(), Integers::to_any);
    return out;
  }

  // Both sides rounded each of `length` additions by at most half an epsilon; 8 are for what stands around the sum
  // (division, square root, exp), and a factor of 4 for terms that are larger than their sum.
  template <std::size_t N>
  void check(const std::string& tensor, const Tensor<double, N>& got, Index length, double allowance = 0) {
    const Tensor<double, N> expected = read_padded<N>(tensor);
    INFO(name << "/" << tensor);
    CHECK(inkling::to_string(got.shape()) == inkling::to_string(expected.shape()));
    if (got.shape() != expected.shape()) return;
    const Worst w = compare(got, expected);
    const double tolerance =
        4 * static_cast<double>(length + 8) * std::numeric_limits<double>::epsilon() * w.scale + allowance;
    INFO(w << " = index " << index_text(w.at, got.shape()) << ", tolerance " << tolerance);
    CHECK(w.error <= tolerance);
    worst = std::max(worst, w.relative());
  }

  std::string unused() const {
    std::string all;
    for (const std::string& tensor : unused_) all += (all.empty() ? "" : ", ") + tensor;
    return all;
  }

  std::string name, op;
  nlohmann::json params;
  double worst = 0;

 private:
  const SafetensorsFile& file_;
  std::set<std::string> unused_;
};

template <class K>
void run_conv2d(Case& c) {
  Conv2dOptions o{.stride = c.integer("stride", 1),
                  .padding = Padding::all(c.integer("padding", 0)),
                  .dilation = c.integer("dilation", 1),
                  .groups = c.integer("groups", 1)};
  int left = 0, right = 0, top = 0, bottom = 0;
  if (std::sscanf(c.op.c_str(), "pad(left %d,right %d,top %d,bottom %d)", &left, &right, &top, &bottom) == 4) {
    REQUIRE(c.integer("padding", 0) == 0);
    o.padding = {.top = top, .bottom = bottom, .left = left, .right = right};
  }
  const auto x = c.read<4>("input"), w = c.read<4>("weight"), dy = c.read<4>("grad_output");
  const bool biased = c.has("bias");
  const auto bias = biased ? c.read<1>("bias") : Tensor<double, 1>();
  const Index taps = w.size() / w.shape(0), outputs = dy.size() / dy.shape(1);
  c.check("output", K::conv2d(x, w, biased ? &bias : nullptr, o), taps);
  c.check("grad_input", K::conv2d_backward_input(dy, w, x.shape(), o), taps);
  c.check("grad_weight", K::conv2d_backward_weight(dy, x, w.shape(), o), outputs);
  if (biased) c.check("grad_bias", K::conv2d_backward_bias(dy), outputs);
}

template <class K>
void run_conv_transpose2d(Case& c) {
  const ConvTranspose2dOptions o{.stride = c.integer("stride", 1),
                                 .padding = c.integer("padding", 0),
                                 .output_padding = c.integer("output_padding", 0),
                                 .dilation = c.integer("dilation", 1),
                                 .groups = c.integer("groups", 1)};
  const auto x = c.read<4>("input"), w = c.read<4>("weight"), dy = c.read<4>("grad_output");
  const bool biased = c.has("bias");
  const auto bias = biased ? c.read<1>("bias") : Tensor<double, 1>();
  const Index taps = w.size() / w.shape(0), inputs = x.size() / x.shape(1), outputs = dy.size() / dy.shape(1);
  c.check("output", K::conv_transpose2d(x, w, biased ? &bias : nullptr, o), taps);
  c.check("grad_input", K::conv_transpose2d_backward_input(dy, w, x.shape(), o), taps);
  c.check("grad_weight", K::conv_transpose2d_backward_weight(dy, x, w.shape(), o), inputs);
  if (biased) c.check("grad_bias", K::conv2d_backward_bias(dy), outputs);
}

template <class K>
void run_linear(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    constexpr std::size_t N = rank.value;
    const auto x = c.read<N>("input"), dy = c.template read<N>("grad_output");
    const auto w = c.read<2>("weight");
    const bool biased = c.has("bias");
    const auto bias = biased ? c.read<1>("bias") : Tensor<double, 1>();
    const Index rows = row_count(x.shape());
    c.check("output", K::linear(x, w, biased ? &bias : nullptr), w.shape(1));
    c.check("grad_input", K::linear_backward_input(dy, w), w.shape(0));
    c.check("grad_weight", K::linear_backward_weight(dy, x), rows);
    if (biased) c.check("grad_bias", K::linear_backward_bias(dy), rows);
  });
}

template <class K, std::size_t N>
void run_matmul(Case& c) {
  const auto a = c.read<N>("a"), b = c.read<N>("b"), dy = c.read<N>("grad_output");
  c.check("output", K::matmul(a, b), a.shape(N - 1));
  c.check("grad_a", K::matmul(dy, b, false, true), b.shape(N - 1));
  c.check("grad_b", K::matmul(a, dy, true, false), a.shape(N - 2));
}

template <class K>
void run_group_norm(Case& c) {
  const auto x = c.read_padded<4>("input"), dy = c.read_padded<4>("grad_output");
  const auto gamma = c.read<1>("weight"), beta = c.read<1>("bias");
  const Index groups = c.integer("groups", 0), length = x.size() / x.shape(0);
  const auto r = K::group_norm(x, gamma, beta, groups, c.number("eps"));
  c.check("output", r.y, length);
  const auto d = K::group_norm_backward(dy, x, gamma, r.mean, r.rstd, groups);
  c.check("grad_input", d.dx, length);
  c.check("grad_weight", d.dgamma, x.size() / x.shape(1));
  c.check("grad_bias", d.dbeta, x.size() / x.shape(1));
}

template <class K>
void run_layer_norm(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    constexpr std::size_t N = rank.value;
    const auto x = c.read<N>("input"), dy = c.template read<N>("grad_output");
    const auto gamma = c.read<1>("weight"), beta = c.read<1>("bias");
    const auto r = K::layer_norm(x, gamma, beta, c.number("eps"));
    c.check("output", r.y, x.shape(N - 1));
    const auto d = K::layer_norm_backward(dy, x, gamma, r.mean, r.rstd);
    c.check("grad_input", d.dx, x.shape(N - 1));
    c.check("grad_weight", d.dgamma, row_count(x.shape()));
    c.check("grad_bias", d.dbeta, row_count(x.shape()));
  });
}

template <class K>
void run_batch_norm(Case& c) {
  const auto x = c.read_padded<4>("input"), dy = c.read_padded<4>("grad_output");
  const auto gamma = c.read<1>("weight"), beta = c.read<1>("bias");
  auto running_mean = c.read<1>("running_mean"), running_var = c.read<1>("running_var");
  const auto mean_before = running_mean, var_before = running_var;
  const bool training = c.params.at("training").get<bool>();
  const Index length = x.size() / x.shape(1);
  const auto r =
      K::batch_norm(x, gamma, beta, running_mean, running_var, training, c.number("momentum"), c.number("eps"));
  c.check("output", r.y, length);
  if (training) {
    c.check("new_running_mean", running_mean, length);
    c.check("new_running_var", running_var, length);
  } else {
    CHECK(compare(running_mean, mean_before).error == 0);
    CHECK(compare(running_var, var_before).error == 0);
  }
  const auto d = K::batch_norm_backward(dy, x, gamma, r.mean, r.rstd, training);
  c.check("grad_input", d.dx, length);
  c.check("grad_weight", d.dgamma, length);
  c.check("grad_bias", d.dbeta, length);
}

inline const std::map<std::string, Activation> activations = {{"silu", Activation::silu},
                                                              {"gelu_erf", Activation::gelu},
                                                              {"gelu_tanh", Activation::gelu_tanh},
                                                              {"quick_gelu", Activation::quick_gelu},
                                                              {"sigmoid", Activation::sigmoid},
                                                              {"tanh", Activation::tanh},
                                                              {"softplus", Activation::softplus},
                                                              {"leaky_relu_0.2", Activation::leaky_relu},
                                                              {"exp", Activation::exp},
                                                              {"relu", Activation::relu}};

template <class K>
void run_activation(Case& c) {
  const Activation kind = activations.at(c.op);
  // PyTorch gives log(1 + e^x) as x from 20 on, which leaves out e^-20 at most.
  const double allowance = kind == Activation::softplus ? std::exp(-20.0) : 0;
  with_rank(c.rank("input"), [&](auto rank) {
    const auto x = c.read<rank.value>("input"), dy = c.template read<rank.value>("grad_output");
    c.check("output", K::activation(kind, x), 1, allowance);
    c.check("grad_input", K::activation_backward(kind, dy, x), 1, allowance);
  });
}

template <class K>
void run_geglu(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    const auto x = c.read<rank.value>("input"), dy = c.template read<rank.value>("grad_output");
    c.check("output", K::geglu(x), 1);
    c.check("grad_input", K::geglu_backward(dy, x), 1);
  });
}

template <class K>
void run_softmax(Case& c, bool logarithm) {
  with_rank(c.rank("input"), [&](auto rank) {
    const auto x = c.read<rank.value>("input"), dy = c.template read<rank.value>("grad_output");
    const Index axis = c.integer("dim", 0), length = axis_view(x.shape(), axis, "test").length;
    const auto y = logarithm ? K::log_softmax(x, axis) : K::softmax(x, axis);
    c.check("output", y, length);
    c.check("grad_input", logarithm ? K::log_softmax_backward(dy, y, axis) : K::softmax_backward(dy, y, axis), length);
  });
}

// Recorded as [N, A, L, d]; the kernels take the heads side by side, [N, L, A*d].
template <class K>
Tensor<double, 3> join_heads(const Tensor<double, 4>& x) {
  return K::permute(x, std::array<std::size_t, 4>{0, 2, 1, 3})
      .reshaped(Shape<3>{x.shape(0), x.shape(2), x.shape(1) * x.shape(3)});
}
template <class K>
Tensor<double, 4> split_heads(const Tensor<double, 3>& x, Index heads) {
  return K::permute(x.reshaped(Shape<4>{x.shape(0), x.shape(1), heads, x.shape(2) / heads}),
                    std::array<std::size_t, 4>{0, 2, 1, 3});
}
template <class K>
void run_attention(Case& c) {
  const Index heads = c.shape("q").at(1);
  AttentionOptions o{.heads = heads, .causal = c.params.at("causal").get<bool>(), .scale = 0};
  if (c.params.at("scale").is_number())
    o.scale = c.number("scale");
  else
    REQUIRE(c.params.at("scale").get<std::string>() == "1/sqrt(dim)");
  const auto q = join_heads<K>(c.read<4>("q")), k = join_heads<K>(c.read<4>("k")), v = join_heads<K>(c.read<4>("v"));
  const auto dy = join_heads<K>(c.read<4>("grad_output"));
  const bool masked = c.has("mask");
  const auto mask = masked ? c.read<2>("mask") : Tensor<double, 2>();
  const auto r = K::attention(q, k, v, o, masked ? &mask : nullptr);
  const Index length = k.shape(1) + q.shape(2) / heads;
  c.check("output", split_heads<K>(r.y, heads), length);
  const auto d = K::attention_backward(dy, q, k, v, r, o, masked ? &mask : nullptr);
  c.check("grad_q", split_heads<K>(d.dq, heads), length);
  c.check("grad_k", split_heads<K>(d.dk, heads), length + q.shape(1));
  c.check("grad_v", split_heads<K>(d.dv, heads), length + q.shape(1));
}

template <class K>
void run_resampling(Case& c) {
  const auto x = c.read<4>("input"), dy = c.read<4>("grad_output");
  if (c.op == "nearest upsampling") {
    const Index factor = c.integer("scale", 0);
    c.check("output", K::upsample_nearest(x, factor), 1);
    c.check("grad_input", K::upsample_nearest_backward(dy, factor), factor * factor);
  } else if (c.op.starts_with("bilinear upsampling")) {
    const Index factor = c.integer("scale", 0);
    const bool align_corners = c.op.ends_with("align_corners=True");
    REQUIRE((align_corners || c.op.ends_with("align_corners=False")));
    c.check("output", K::upsample_bilinear(x, factor, align_corners), 4);
    c.check("grad_input", K::upsample_bilinear_backward(dy, x.shape(), factor, align_corners), 4 * factor * factor);
  } else {
    const PoolOptions o{
        .kernel = c.integer("kernel", 0), .stride = c.integer("stride", 0), .padding = c.integer("padding", 0)};
    if (c.op.starts_with("average pooling")) {
      c.check("output", K::avg_pool(x, o), o.kernel * o.kernel);
      c.check("grad_input", K::avg_pool_backward(dy, x.shape(), o), o.kernel * o.kernel);
    } else {
      const auto r = K::max_pool(x, o);
      c.check("output", r.y, 1);
      c.check("grad_input", K::max_pool_backward(dy, r.argmax, x.shape()), o.kernel * o.kernel);
    }
  }
}

template <class K>
void run_embedding(Case& c) {
  const auto table = c.read<2>("weight");
  const auto ids = c.read<2, std::int64_t>("ids");
  c.check("output", K::embedding(table, ids), 1);
  c.check("grad_weight", K::embedding_backward(c.read<3>("grad_output"), ids, table.shape()), ids.size());
}

template <class K>
void run_timestep_embedding(Case& c) {
  const auto t = c.read<1>("timesteps");
  const auto kind = c.op.starts_with("LDM") ? TimestepEmbedding::ldm : TimestepEmbedding::ddpm;
  // An angle of 1000 rounded by one epsilon moves its sine by 1000 epsilons.
  const double largest = t.empty() ? 0 : *std::max_element(t.begin(), t.end());
  c.check("output", K::timestep_embedding(t, c.integer("dim", 0), kind, c.number("max_period")),
          static_cast<Index>(largest));
}

// Losses of a result and a target of one shape.
template <class K>
void run_loss(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    const auto x = c.read<rank.value>("input"), target = c.template read<rank.value>("target");
    const double dloss = c.read<0>("grad_output")();
    const Index n = x.size();
    double setting = 0;  // of "huber_1 (mean)" the 1
    const auto check = [&](const Tensor<double, 0>& loss, const Tensor<double, rank.value>& dx) {
      c.check("output", loss, n);
      c.check("grad_input", dx, 1);
      if (!c.op.starts_with("binary")) c.check("grad_target", K::scale(dx, -1.0), 1);  // they see x - target only
    };
    if (c.op == "mse (mean)") {
      check(K::mse(x, target), K::mse_backward(dloss, x, target));
    } else if (c.op == "l1 (mean)") {
      check(K::l1(x, target), K::l1_backward(dloss, x, target));
    } else if (std::sscanf(c.op.c_str(), "huber_%lf (mean)", &setting) == 1) {
      check(K::huber(x, target, setting), K::huber_backward(dloss, x, target, setting));
    } else if (std::sscanf(c.op.c_str(), "smooth_l1_%lf (mean)", &setting) == 1) {
      check(K::smooth_l1(x, target, setting), K::smooth_l1_backward(dloss, x, target, setting));
    } else {
      check(K::bce_with_logits(x, target), K::bce_with_logits_backward(dloss, x, target));
    }
  });
}

template <class K>
void run_cross_entropy(Case& c) {
  with_rank(c.rank("target"), [&](auto rank) {
    const auto logits = c.read<rank.value + 1>("input");
    const auto ids = c.template read<rank.value, std::int64_t>("target");
    const double dloss = c.read<0>("grad_output")();
    const double smoothing = c.params.contains("label_smoothing") ? c.number("label_smoothing") : 0.0;
    c.check("output", K::cross_entropy(logits, ids, smoothing), logits.size());
    c.check("grad_input", K::cross_entropy_backward(dloss, logits, ids, smoothing), logits.shape(1));
  });
}

template <class K>
void run_kl(Case& c) {
  const auto moments = c.read<4>("moments");
  const Index C = moments.shape(1) / 2;
  c.check("output", K::kl_diagonal_gaussian(moments), moments.size() / moments.shape(0));
  c.check("grad_moments", K::kl_diagonal_gaussian_backward(c.read<1>("grad_output"), moments), 1);
  // What the moments mean: mean, clamped logarithm of the variance, std = e^(logvar / 2).
  auto logvar = K::slice(moments, 1, C, 2 * C);
  for (double& v : logvar) v = std::clamp(v, logvar_min, logvar_max);
  c.check("mean", K::slice(moments, 1, 0, C), 1);
  c.check("logvar", logvar, 1);
  c.check("std", K::activation(Activation::exp, K::scale(logvar, 0.5)), 1);
}

template <class K>
void run_binary(Case& c, Binary op) {
  with_rank(c.rank("a"), [&](auto rank_a) {
    with_rank(c.rank("b"), [&](auto rank_b) {
      constexpr std::size_t N = rank_a.value, M = rank_b.value;
      if constexpr (M <= N) {
        const auto a = c.read<N>("a"), dy = c.template read<N>("grad_output");
        const auto b = c.template read<M>("b");
        c.check("output", K::binary_broadcast(op, a, b), 1);
        const auto d = K::binary_broadcast_backward(op, dy, a, b);
        c.check("grad_a", d.da, 1);
        c.check("grad_b", d.db, a.size() / std::max<Index>(1, b.size()));
        if constexpr (M == N)
          if (a.shape() == b.shape()) c.check("output", K::binary(op, a, b), 1);
      } else {
        FAIL("the second operand has more dimensions");
      }
    });
  });
}

template <class K>
void run_reduction(Case& c, bool mean) {
  with_rank(c.rank("input"), [&](auto rank) {
    constexpr std::size_t N = rank.value;
    const Index axis = c.integer("dim", 0);
    const auto x = c.read<N>("input");
    const Index length = axis_view(x.shape(), axis, "test").length;
    const auto y = mean ? K::mean(x, axis) : K::sum(x, axis);
    const bool kept = c.rank("output") == N;
    Shape<N> kept_shape = x.shape();
    kept_shape[checked_axis(axis, N, "test")] = 1;
    Tensor<double, N - 1> dy;
    if (kept) {
      c.check("output", y.reshaped(kept_shape), length);
      dy = c.template read<N>("grad_output").reshaped(y.shape());
    } else {
      c.check("output", y, length);
      dy = c.template read<N - 1>("grad_output");
    }
    c.check("grad_input", mean ? K::mean_backward(dy, x.shape(), axis) : K::sum_backward(dy, x.shape(), axis), 1);
  });
}

template <class K>
void run_concat(Case& c) {
  with_rank(c.rank("a"), [&](auto rank) {
    const auto a = c.read<rank.value>("a"), b = c.template read<rank.value>("b");
    const auto dy = c.template read<rank.value>("grad_output");
    const Index axis = c.integer("dim", 0), middle = axis_view(a.shape(), axis, "test").length;
    c.check("output", K::concat(a, b, axis), 1);
    c.check("grad_a", K::slice(dy, axis, Index{0}, middle), 1);
    c.check("grad_b", K::slice(dy, axis, middle, axis_view(dy.shape(), axis, "test").length), 1);
  });
}

template <class K>
void run_permute(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    constexpr std::size_t N = rank.value;
    const auto order = c.params.at("dims").template get<std::array<std::size_t, N>>();
    std::array<std::size_t, N> back{};
    for (std::size_t d = 0; d < N; ++d) back[order[d]] = d;
    c.check("output", K::permute(c.template read<N>("input"), order), 1);
    c.check("grad_input", K::permute(c.template read<N>("grad_output"), back), 1);
  });
}

template <class K>
void run_normalize_l2(Case& c) {
  with_rank(c.rank("input"), [&](auto rank) {
    const auto x = c.read<rank.value>("input"), dy = c.template read<rank.value>("grad_output");
    c.check("output", K::normalize_l2(x), x.shape(rank.value - 1));
    c.check("grad_input", K::normalize_l2_backward(dy, x), x.shape(rank.value - 1));
  });
}

// Runs one case; returns the family that its error is listed under.
template <class K>
std::string run(Case& c) {
  const std::string& op = c.op;
  const auto is = [&](const char* start) { return op.starts_with(start); };
  if (is("conv2d") || (is("pad(") && op.ends_with("then conv2d"))) return run_conv2d<K>(c), "conv2d";
  if (is("conv_transpose2d")) return run_conv_transpose2d<K>(c), "conv_transpose2d";
  if (is("linear")) return run_linear<K>(c), "linear";
  if (is("matmul")) return (c.rank("a") == 2 ? run_matmul<K, 2>(c) : run_matmul<K, 3>(c)), "matmul";
  if (is("group_norm")) return run_group_norm<K>(c), "group_norm";
  if (is("layer_norm")) return run_layer_norm<K>(c), "layer_norm";
  if (is("batch_norm")) return run_batch_norm<K>(c), "batch_norm";
  if (activations.contains(op)) return run_activation<K>(c), "activation " + op;
  if (is("geglu")) return run_geglu<K>(c), "geglu";
  if (op == "softmax") return run_softmax<K>(c, false), "softmax";
  if (op == "log_softmax") return run_softmax<K>(c, true), "log_softmax";
  if (is("scaled dot-product attention")) return run_attention<K>(c), "attention";
  if (is("nearest upsampling") || is("bilinear upsampling")) return run_resampling<K>(c), "upsampling";
  if (is("average pooling") || is("max pooling")) return run_resampling<K>(c), "pooling";
  if (is("embedding lookup")) return run_embedding<K>(c), "embedding";
  if (is("LDM timestep embedding") || is("DDPM timestep embedding"))
    return run_timestep_embedding<K>(c), "timestep_embedding";
  if (is("mse") || is("l1") || is("huber_") || is("smooth_l1_") || is("binary cross entropy with logits"))
    return run_loss<K>(c), "losses";
  if (is("cross entropy") || is("per-pixel cross entropy")) return run_cross_entropy<K>(c), "cross_entropy";
  if (is("KL(")) return run_kl<K>(c), "kl_diagonal_gaussian";
  if (op == "add") return run_binary<K>(c, Binary::add), "binary";
  if (op == "sub") return run_binary<K>(c, Binary::sub), "binary";
  if (op == "mul") return run_binary<K>(c, Binary::mul), "binary";
  if (op == "div") return run_binary<K>(c, Binary::div), "binary";
  if (is("sum over")) return run_reduction<K>(c, false), "reductions";
  if (is("mean over")) return run_reduction<K>(c, true), "reductions";
  if (is("concatenation")) return run_concat<K>(c), "concat";
  if (is("permute")) return run_permute<K>(c), "permute";
  if (is("x / ||x||_2")) return run_normalize_l2<K>(c), "normalize_l2";
  FAIL_CHECK("no test for operation \"" << op << "\"");
  return "unknown";
}

template <class K>
void check_recorded_operations() {
  std::ifstream text(golden_dir() / "ops.json");
  const nlohmann::json cases = nlohmann::json::parse(text);
  const SafetensorsFile file(golden_dir() / "ops.safetensors");
  REQUIRE(cases.size() > 0);
  std::map<std::string, std::pair<double, int>> families;
  for (const nlohmann::json& entry : cases) {
    Case c(file, entry);
    CAPTURE(c.name);
    try {
      auto& [worst, count] = families[run<K>(c)];
      worst = std::max(worst, c.worst);
      ++count;
    } catch (const Error& e) {
      FAIL_CHECK(c.name << ": " << std::string(e.what()));
    }
    CHECK_MESSAGE(c.unused().empty(), "recorded, but not compared: " << c.unused());
  }
  std::ostringstream report;
  for (const auto& [family, result] : families)
    report << "\n  " << family << ": " << result.second << " cases, largest error " << result.first
           << " of the largest magnitude";
  MESSAGE(std::string(K::label) << " kernels, double, " << cases.size() << " cases" << report.str());
}

}  // namespace inkling_test
