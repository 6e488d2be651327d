// MFM_CLONES before a function: compiled once for any x86-64 and once for those with AVX2; the loader picks. Results are
// the same to the last bit (no contraction to fused multiply-add). Elsewhere, and under sanitizers, which the loader's
// choice comes too early for, it says nothing.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define MFM_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define MFM_CLONES
#endif
