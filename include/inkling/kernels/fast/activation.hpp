// Activation functions, a register at a time.
//
// What bounds them is memory: a formula is evaluated again in the backward rather than stored by the forward. Numbers
// from and to the first-level cache, in 10^9 a second (one thread of AMD Zen 4, AVX-512, g++ 12, by processor time);
// from and to memory a core copies about 2.6:
//                         copy  e^x  SiLU  its slope           erf  GELU
//   with xsimd's exp      29.5  4.1   3.1        2.8   xsimd's  1.7   1.5
//   with exponential.hpp        5.2   4.2        3.5   as here  3.3   2.7
#pragma once
#include "inkling/core/tensor.hpp"
#include "inkling/kernels/fast/exponential.hpp"
#include "inkling/kernels/fast/vector.hpp"
#include "inkling/kernels/options.hpp"

namespace inkling::kernels::fast {

// Each function f is a struct with y = f(x) and slope = df/dx.
namespace functions {

// e^x: exponential.hpp's for float
template <class V>
V exp_of(const V& x) {
  if constexpr (std::is_same_v<V, Vec<float>>) {
    return exponential<float>(x);
  } else {
    using std::exp;
    return exp(x);
  }
}

template <class V>
V sigma(const V& x) {
  return constant<V>(1) / (constant<V>(1) + exp_of<V>(-x));  // exp overflows to infinity, and 1/infinity is right
}

struct Sigmoid {
  template <class V>
  static V y(const V& x) {
    return sigma(x);
  }
  template <class V>
  static V slope(const V& x) {
    const V s = sigma(x);
    return s * (constant<V>(1) - s);
  }
};

// SiLU (Elfwing et al. 2017): x sigma(x)
struct Silu {
  template <class V>
  static V y(const V& x) {
    return x * sigma(x);
  }
  template <class V>
  static V slope(const V& x) {
    const V s = sigma(x);
    return s * (constant<V>(1) + x * (constant<V>(1) - s));
  }
};

// The sigmoid approximation of GELU (Hendrycks & Gimpel 2016, section 2): x sigma(1.702 x)
struct QuickGelu {
  template <class V>
  static V y(const V& x) {
    return x * sigma(constant<V>(1.702) * x);
  }
  template <class V>
  static V slope(const V& x) {
    const V a = constant<V>(1.702), s = sigma(a * x);
    return s * (constant<V>(1) + a * x * (constant<V>(1) - s));
  }
};

// erf(x) for float, within 3.4e-7: x P(x^2) / Q(x^2), the minimax approximation on [-4, 4] that Eigen uses; beyond,
// 1 - |erf| is below half an epsilon. No branches, unlike the general one.
template <class V>
V erf_of(const V& v) {
  using std::erf;
  if constexpr (std::is_same_v<V, double> || std::is_same_v<V, Vec<double>>) {
    return erf(v);
  } else {
    const V x = minimum(maximum(v, constant<V>(-4)), constant<V>(4)), s = x * x;
    V p = constant<V>(-2.72614225801306e-10), q = constant<V>(-1.45660718464996e-05);
    for (double c : {2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
                     -2.95459980854025e-03, -1.60960333262415e-02})
      p = p * s + constant<V>(c);
    for (double c : {-2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02})
      q = q * s + constant<V>(c);
    return x * p / q;
  }
}

// GELU (Hendrycks & Gimpel 2016): x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2, Phi'(x) = exp(-x^2/2) / sqrt(2 pi)
struct Gelu {
  template <class V>
  static V y(const V& x) {
    return x * phi(x);
  }
  template <class V>
  static V slope(const V& x) {
    return slope(x, phi(x));
  }
  template <class V>
  static V slope(const V& x, const V& phi_x) {
    return phi_x + x * constant<V>(0.3989422804014327) * exp_of<V>(constant<V>(-0.5) * x * x);
  }
  template <class V>
  static V phi(const V& x) {
    return constant<V>(0.5) * (constant<V>(1) + erf_of(x * constant<V>(0.7071067811865476)));
  }
};

// The tanh approximation (same paper): x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  template <class V>
  static V y(const V& x) {
    return constant<V>(0.5) * x * (constant<V>(1) + tanh_u(x));
  }
  template <class V>
  static V slope(const V& x) {
    const V one = constant<V>(1), t = tanh_u(x);
    // Beyond 30 the factor 1 - t^2 is zero; without the bound x^2 could become infinite, and 0 * infinity is NaN.
    const V b = minimum(maximum(x, constant<V>(-30)), constant<V>(30));
    const V du = constant<V>(root) * (one + constant<V>(3 * 0.044715) * b * b);
    return constant<V>(0.5) * (one + t) + constant<V>(0.5) * b * (one - t * t) * du;
  }
  template <class V>
  static V tanh_u(const V& x) {
    using std::tanh;
    return tanh(constant<V>(root) * (x + constant<V>(0.044715) * x * x * x));
  }
  static constexpr double root = 0.7978845608028654;  // sqrt(2 / pi)
};

struct Tanh {
  template <class V>
  static V y(const V& x) {
    using std::tanh;
    return tanh(x);
  }
  template <class V>
  static V slope(const V& x) {
    const V t = y(x);
    return constant<V>(1) - t * t;
  }
};

// log(1 + e^x), written so that the exponential never overflows
struct Softplus {
  template <class V>
  static V y(const V& x) {
    using std::abs;
    return maximum(x, constant<V>(0)) + log1p_of(exp_of<V>(-abs(x)));
  }
  template <class V>
  static V slope(const V& x) {
    return sigma(x);
  }
};

struct LeakyRelu {
  template <class V>
  static V y(const V& x) {
    return select_if<V>(x > constant<V>(0), x, x * constant<V>(leaky_relu_slope));
  }
  template <class V>
  static V slope(const V& x) {
    return select_if<V>(x > constant<V>(0), constant<V>(1), constant<V>(leaky_relu_slope));
  }
};

struct Relu {
  template <class V>
  static V y(const V& x) {
    return maximum(x, constant<V>(0));
  }
  template <class V>
  static V slope(const V& x) {
    return select_if<V>(x > constant<V>(0), constant<V>(1), constant<V>(0));
  }
};

struct Exp {
  template <class V>
  static V y(const V& x) {
    return exp_of<V>(x);
  }
  template <class V>
  static V slope(const V& x) {
    return y(x);
  }
};

// body(f) with the struct that `kind` names.
template <class Body>
void with_function(Activation kind, Body&& body) {
  switch (kind) {
    case Activation::silu: return body(Silu{});
    case Activation::gelu: return body(Gelu{});
    case Activation::gelu_tanh: return body(GeluTanh{});
    case Activation::quick_gelu: return body(QuickGelu{});
    case Activation::sigmoid: return body(Sigmoid{});
    case Activation::tanh: return body(Tanh{});
    case Activation::softplus: return body(Softplus{});
    case Activation::leaky_relu: return body(LeakyRelu{});
    case Activation::exp: return body(Exp{});
    case Activation::relu: return body(Relu{});
  }
  throw ConfigError("activation", "a known function", std::to_string(static_cast<int>(kind)));
}

// The loops know nothing of a tensor's rank, so that ten functions are compiled once and not for every rank.
template <class T>
void map_function(Activation kind, Index n, const T* x, T* y) {
  with_function(kind, [&](auto f) { parallel_map(n, 4, y, [f](const Vec<T>& v) { return f.y(v); }, x); });
}
template <class T>
void map_slope(Activation kind, Index n, const T* dy, const T* x, T* dx) {
  with_function(kind, [&](auto f) {
    parallel_map(n, 6, dx, [f](const Vec<T>& d, const Vec<T>& v) { return d * f.slope(v); }, dy, x);
  });
}

}  // namespace functions

// y = f(x)
template <class T, std::size_t N>
Tensor<T, N> activation(Activation kind, const Tensor<T, N>& x) {
  Tensor<T, N> y(x.shape(), uninitialized);
  functions::map_function(kind, x.size(), x.data(), y.data());
  return y;
}

// y = f(x)  =>  dx = dy f'(x)
template <class T, std::size_t N>
Tensor<T, N> activation_backward(Activation kind, const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), x.shape(), "activation_backward");
  Tensor<T, N> dx(x.shape(), uninitialized);
  functions::map_slope(kind, x.size(), dy.data(), x.data(), dx.data());
  return dx;
}

// x [..., 2D] = (a, g) -> a gelu(g) [..., D]: Shazeer 2020, "GLU Variants Improve Transformer", eq. 5
template <class T, std::size_t N>
Tensor<T, N> geglu(const Tensor<T, N>& x) {
  Tensor<T, N> y(geglu_output_shape(x.shape()), uninitialized);
  const Index D = y.shape(N - 1), rows = D ? y.size() / D : 0;
  parallel_for(rows, 8 * D, [&](Index r) {
    const T* a = x.data() + r * 2 * D;
    map(D, y.data() + r * D, [](const Vec<T>& va, const Vec<T>& vg) { return va * functions::Gelu::y(vg); }, a,
        a + D);
  });
  return y;
}

// y = a gelu(g)  =>  da = dy gelu(g),  dg = dy a gelu'(g)
template <class T, std::size_t N>
Tensor<T, N> geglu_backward(const Tensor<T, N>& dy, const Tensor<T, N>& x) {
  require_shape(dy.shape(), geglu_output_shape(x.shape()), "geglu_backward");
  Tensor<T, N> dx(x.shape(), uninitialized);
  const Index D = dy.shape(N - 1), rows = D ? dy.size() / D : 0;
  parallel_for(rows, 16 * D, [&](Index r) {
    const T *d = dy.data() + r * D, *a = x.data() + r * 2 * D, *g = a + D;
    T* da = dx.data() + r * 2 * D;
    map_pair(
        D, da, da + D,
        [](const Vec<T>& vd, const Vec<T>& va, const Vec<T>& vg) {
          const Vec<T> phi = functions::Gelu::phi(vg);
          return std::array<Vec<T>, 2>{vd * vg * phi, vd * va * functions::Gelu::slope(vg, phi)};
        },
        d, a, g);
  });
  return dx;
}

}  // namespace inkling::kernels::fast
