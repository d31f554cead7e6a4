// PyCUDA's extension module in one translation unit, which takes a fifth of the time
// that its files take one by one. The first of them declares NumPy's functions, the
// others use them.
#include "src/wrapper/wrap_cudadrv.cpp"
#include "src/cpp/cuda.cpp"
#include "src/cpp/bitlog.cpp"
#include "src/wrapper/mempool.cpp"
