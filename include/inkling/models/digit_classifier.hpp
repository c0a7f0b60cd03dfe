// A small convolutional network that reads digits, after LeNet-5 (LeCun et al. 1998): the judge of painted pictures.
#pragma once
#include "inkling/nn/layers.hpp"

namespace inkling {

template <class T>
struct DigitClassifier {
  Conv2d<T> conv1, conv2, conv3;
  Linear<T> fc1, fc2;

  DigitClassifier()
      : conv1(1, 16, 3, same_padding(3)),
        conv2(16, 32, 3, same_padding(3)),
        conv3(32, 32, 3, same_padding(3)),
        fc1(32 * 7 * 7, 64),
        fc2(64, 10) {}

  // white on black, x[N, 1, 28, 28] in [0, 1] -> logits [N, 10]
  Variable<T, 2> forward(const Variable<T, 4>& x) const {
    require_shape(x.shape(), Shape<4>{x.shape(0), 1, 28, 28}, "DigitClassifier");
    Variable<T, 4> h = max_pool(relu(conv1.forward(x)), {});  // [N, 16, 14, 14]
    h = max_pool(relu(conv2.forward(h)), {});                 // [N, 32, 7, 7]
    h = relu(conv3.forward(h));
    return fc2.forward(relu(fc1.forward(reshape(h, Shape<2>{x.shape(0), 32 * 7 * 7}))));
  }
  template <class V>
  void visit(V&& v) {
    v("conv1", conv1);
    v("conv2", conv2);
    v("conv3", conv3);
    v("fc1", fc1);
    v("fc2", fc2);
  }
};

}  // namespace inkling
