/*
 * common.h - compilers, bytes in memory, bits, and sizes that cannot overflow
 *
 * This is the only file that tests for compilers and machines.  It knows nothing of Crackle.  Every function is 'static
 * inline', and only functions whose name says so allocate memory.
 */
#ifndef CK_COMMON_H
#define CK_COMMON_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_MSC_VER) && !defined(__clang__)
#  include <intrin.h>
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* ------------------------------- Compilers -------------------------------- */

#if defined(__GNUC__) || defined(__clang__)
#  define CK_LIKELY(expr) __builtin_expect(!!(expr), 1)
#  define CK_UNLIKELY(expr) __builtin_expect(!!(expr), 0)
#  define CK_FORCEINLINE static inline __attribute__((always_inline))
#  define CK_PREFETCH(address) __builtin_prefetch((const void *)(address))
#  define CK_PREFETCH_L2(address) __builtin_prefetch((const void *)(address), 0, 2) /* not to L1 */
#else
#  define CK_LIKELY(expr) (expr)
#  define CK_UNLIKELY(expr) (expr)
#  define CK_FORCEINLINE static inline
#  define CK_PREFETCH(address) ((void)(address))
#  define CK_PREFETCH_L2(address) ((void)(address))
#endif

/* Whether another thread has changed '*number', which was 0 before. 'number' may be NULL. */
static inline int ck_is_set(const volatile int32_t *number)
{
#if defined(__GNUC__) || defined(__clang__)
    return number && __atomic_load_n(number, __ATOMIC_RELAXED) != 0;
#else
    return number && *number != 0;
#endif
}

/* Larger outputs bypass the cache. The last-level caches of common machines are some times as large. */
#define CK_CACHE_NBYTES ((u64)8 << 20)

/* A condition on constants, checked while compiling. */
#define CK_STATIC_ASSERT(name, expr) typedef char ck_static_assert_##name[(expr) ? 1 : -1]

/* With CK_PORTABLE, no vector instructions are used. The tests thus cover machines without them. */
#if (defined(__SSE2__) || defined(_M_X64)) && !defined(CK_PORTABLE)
#  define CK_HAVE_SSE2 1 /* part of every x86-64 */
#else
#  define CK_HAVE_SSE2 0
#endif

/*
 * Instructions that nearly every x86-64 since about 2015 has: the level x86-64-v3, and carry-less multiplication.  Code
 * for them has a target attribute, stands next to the portable code, and is chosen at run time.  CK_BASELINE leaves it
 * out.
 */
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(CK_PORTABLE) && \
    !defined(CK_BASELINE)
#  define CK_MAYBE_V3 1
#  define CK_TARGET_V3 __attribute__((target("avx2,bmi,bmi2,popcnt,sse4.2,pclmul")))
static inline int ck_cpu_has_v3(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}
#else
#  define CK_MAYBE_V3 0
#endif

/*
 * Vectors of 64 bytes with masks, and VBMI2, which compresses bytes: Intel's processors since Ice Lake (2019), AMD's
 * since Zen 4 (2022).  Older ones with AVX-512 lack VBMI2, and many of them slow down when they use it.  CK_NO_V4
 * leaves it out.
 */
#if CK_MAYBE_V3 && (defined(__clang__) || __GNUC__ >= 8) && !defined(CK_NO_V4)
#  define CK_MAYBE_V4 1
#  define CK_TARGET_V4 \
      __attribute__((target("avx2,bmi,bmi2,popcnt,sse4.2,pclmul,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2")))
static inline int ck_cpu_has_v4(void)
{
    return ck_cpu_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi2");
}
#else
#  define CK_MAYBE_V4 0
#endif

/* The code assumes little-endian vectors, as on nearly every AArch64. */
#if (defined(__aarch64__) || defined(_M_ARM64)) && !defined(__AARCH64EB__) && !defined(CK_PORTABLE)
#  define CK_HAVE_NEON 1 /* part of every AArch64 */
#else
#  define CK_HAVE_NEON 0
#endif

/* WebAssembly's vectors: the compiler may use them with -msimd128.  Browsers have had them since 2023. */
#if defined(__wasm_simd128__) && !defined(CK_PORTABLE)
#  define CK_HAVE_WASM_SIMD 1
#else
#  define CK_HAVE_WASM_SIMD 0
#endif

/*
 * CRC32C and carry-less multiplication (a part of the cryptography extension): most AArch64 processors have them.  Code
 * for them is chosen at run time, as for x86-64-v3.  Older compilers declare these instructions only if all code may
 * use them.
 */
#if defined(__ARM_FEATURE_CRC32) && (defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_CRYPTO))
#  define CK_ALWAYS_ARM_CRYPTO 1 /* such as Apple's */
#else
#  define CK_ALWAYS_ARM_CRYPTO 0
#endif

#if CK_HAVE_NEON && !defined(CK_BASELINE) && defined(__clang__)
#  define CK_MAYBE_ARM_CRYPTO (CK_ALWAYS_ARM_CRYPTO || __clang_major__ >= 16)
#  define CK_TARGET_ARM_CRYPTO __attribute__((target("crc,aes")))
#elif CK_HAVE_NEON && !defined(CK_BASELINE) && defined(__GNUC__)
#  define CK_MAYBE_ARM_CRYPTO (CK_ALWAYS_ARM_CRYPTO || __GNUC__ >= 10)
#  define CK_TARGET_ARM_CRYPTO __attribute__((target("+crc+crypto")))
#else
#  define CK_MAYBE_ARM_CRYPTO 0
#endif

#if CK_MAYBE_ARM_CRYPTO
#  if defined(__linux__) && !CK_ALWAYS_ARM_CRYPTO
#    include <sys/auxv.h>
#  endif
static inline int ck_cpu_has_arm_crypto(void)
{
#  if CK_ALWAYS_ARM_CRYPTO
    return 1;
#  elif defined(AT_HWCAP) && defined(HWCAP_CRC32) && defined(HWCAP_PMULL)
    const unsigned long both = HWCAP_CRC32 | HWCAP_PMULL;

    return (getauxval(AT_HWCAP) & both) == both;
#  else
    return 0;
#  endif
}
#endif

/*
 * CK_MAYBE_CRC and its kin: instructions for CRC32C and carry-less products on either architecture. crc.h wraps them.
 */
#if CK_MAYBE_V3
#  define CK_MAYBE_CRC 1
#  define CK_TARGET_CRC CK_TARGET_V3
static inline int ck_cpu_has_crc(void)
{
    return ck_cpu_has_v3();
}
#elif CK_MAYBE_ARM_CRYPTO
#  define CK_MAYBE_CRC 1
#  define CK_TARGET_CRC CK_TARGET_ARM_CRYPTO
static inline int ck_cpu_has_crc(void)
{
    return ck_cpu_has_arm_crypto();
}
#else
#  define CK_MAYBE_CRC 0
#endif

/* ---------------- Unaligned little-endian loads and stores ---------------- */

/*
 * Written as shifts.  Compilers for little-endian machines turn each into one move, and big-endian machines get the
 * right answer.
 */
static inline u16 ck_load16(const u8 *p)
{
    return (u16)(p[0] | (p[1] << 8));
}

static inline u32 ck_load32(const u8 *p)
{
    return (u32)p[0] | ((u32)p[1] << 8) | ((u32)p[2] << 16) | ((u32)p[3] << 24);
}

static inline u64 ck_load64(const u8 *p)
{
    return (u64)ck_load32(p) | ((u64)ck_load32(p + 4) << 32);
}

static inline void ck_store16(u8 *p, u16 v)
{
    p[0] = (u8)v;
    p[1] = (u8)(v >> 8);
}

static inline void ck_store32(u8 *p, u32 v)
{
    ck_store16(p, (u16)v);
    ck_store16(p + 2, (u16)(v >> 16));
}

static inline void ck_store64(u8 *p, u64 v)
{
    ck_store32(p, (u32)v);
    ck_store32(p + 4, (u32)(v >> 32));
}

/* An unsigned number of 'width' = 1, 2, 4 or 8 bytes. */
static inline u64 ck_load(const u8 *p, unsigned int width)
{
    switch (width) {
    case 1:
        return p[0];
    case 2:
        return ck_load16(p);
    case 4:
        return ck_load32(p);
    default:
        return ck_load64(p);
    }
}

static inline void ck_store(u8 *p, u64 v, unsigned int width)
{
    switch (width) {
    case 1:
        p[0] = (u8)v;
        break;
    case 2:
        ck_store16(p, (u16)v);
        break;
    case 4:
        ck_store32(p, (u32)v);
        break;
    default:
        ck_store64(p, v);
        break;
    }
}

/* Extend the sign of a number of 'width' bytes to 64 bits. */
static inline u64 ck_sign_extend(u64 v, unsigned int width)
{
    u64 sign = (u64)1 << (8 * width - 1);

    return width == 8 ? v : ((v & ((sign << 1) - 1)) ^ sign) - sign;
}

/* The fewest bytes, 1, 2, 4 or 8, that hold the unsigned number 'v'. */
static inline unsigned int ck_width(u64 v)
{
    return v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
}

/* The fewest bytes that hold the signed number whose two's complement is 'v'. */
static inline unsigned int ck_signed_width(u64 v)
{
    for (unsigned int width = 1; width < 8; width *= 2)
        if (ck_sign_extend(v, width) == v)
            return width;
    return 8;
}

/* 1, 2, 4, 8 -> 0, 1, 2, 3 */
static inline unsigned int ck_log2_width(unsigned int width)
{
    return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
}

/* ---------------------------------- Bits ---------------------------------- */

/* The place of the lowest one bit; 'v' must not be 0. */
static inline unsigned int ck_ctz64(u64 v)
{
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned int)__builtin_ctzll(v);
#elif defined(_MSC_VER) && defined(_WIN64)
    unsigned long n;

    _BitScanForward64(&n, v);
    return (unsigned int)n;
#else
    unsigned int n = 0;

    while (!(v & 1)) {
        v >>= 1;
        n++;
    }
    return n;
#endif
}

/* Not the compiler's built-in: without the instruction, which x86-64 need not have, it is a slow call. */
static inline unsigned int ck_popcount64(u64 v)
{
    v -= (v >> 1) & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned int)((v * 0x0101010101010101u) >> 56);
}

/* The lowest 'n' bits, n = 0 to 64. */
static inline u64 ck_low_bits(unsigned int n)
{
    return n >= 64 ? ~(u64)0 : ((u64)1 << n) - 1;
}

/*
 * An odd number for multiply-shift hashing (Dietzfelbinger et al., 1997) that nobody can predict.  With a fixed number,
 * an attacker can choose keys that all hash to one slot, so that finding them takes quadratic time.  Systems place
 * memory at random addresses, so the address of a new allocation is random enough.
 */
static inline u64 ck_multiplier(const void *allocated)
{
    u64 x = (u64)(uintptr_t)allocated;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) | 1;
}

/* ---------------------------- Checked sizes ------------------------------- */

/* '*out' = a * b or a + b. False if 64 bits cannot hold the result; '*out' is then unchanged. */
static inline int ck_mul(u64 a, u64 b, u64 *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return 0;
    *out = a * b;
    return 1;
}

static inline int ck_add(u64 a, u64 b, u64 *out)
{
    if (a > UINT64_MAX - b)
        return 0;
    *out = a + b;
    return 1;
}

/*
 * Room for 'count' items of 'size' bytes, or NULL.  A count of 0 succeeds.  Sizes above PTRDIFF_MAX fail, because
 * pointers into such memory cannot be subtracted.
 */
static inline void *ck_malloc(u64 count, size_t size)
{
    u64 nbytes;

    if (!ck_mul(count, size, &nbytes) || nbytes > (u64)PTRDIFF_MAX)
        return NULL;
    return malloc(nbytes ? (size_t)nbytes : 1);
}

static inline void *ck_calloc(u64 count, size_t size)
{
    u64 nbytes;

    if (!ck_mul(count, size, &nbytes) || nbytes > (u64)PTRDIFF_MAX)
        return NULL;
    return calloc(nbytes ? (size_t)nbytes : 1, 1);
}

/*
 * Grow the array '*items' to hold at least 'need' items, by doubling.  False when there is no memory; the array is then
 * unchanged.
 */
static inline int ck_reserve(void **items, size_t *capacity, u64 need, size_t size)
{
    u64 new_capacity = *capacity < 64 ? 64 : *capacity;
    void *grown;

    if (CK_LIKELY(need <= *capacity))
        return 1;
    while (new_capacity < need)
        new_capacity *= 2;
    if (new_capacity > (u64)PTRDIFF_MAX / size)
        return 0;
    grown = realloc(*items, (size_t)new_capacity * size);
    if (!grown)
        return 0;
    *items = grown;
    *capacity = (size_t)new_capacity;
    return 1;
}

/* Like ck_reserve(); 'items' points to a pointer of any type. */
static inline int ck_grow(void *items, size_t *capacity, u64 need, size_t size)
{
    void *grown;
    int ok;

    memcpy(&grown, items, sizeof(grown));
    ok = ck_reserve(&grown, capacity, need, size);
    memcpy(items, &grown, sizeof(grown));
    return ok;
}

/* ------------------------- Reading within bounds -------------------------- */

/* Bytes still to be read. At the end, the getters return false and do not move. */
struct ck_reader {
    const u8 *next;
    const u8 *end;
};

static inline u64 ck_left(const struct ck_reader *r)
{
    return (u64)(r->end - r->next);
}

static inline int ck_get(struct ck_reader *r, unsigned int width, u64 *out)
{
    if (CK_UNLIKELY(ck_left(r) < width))
        return 0;
    *out = ck_load(r->next, width);
    r->next += width;
    return 1;
}

/* 'count' items of 'width' bytes, as a pointer into the input. */
static inline int ck_get_array(struct ck_reader *r, u64 count, unsigned int width, const u8 **out)
{
    if (count > ck_left(r) / width)
        return 0;
    *out = r->next;
    r->next += count * width;
    return 1;
}

/* ------------------------ A growing array of bytes ------------------------ */

struct ck_bytes {
    u8 *data;
    size_t size;
    size_t capacity;
};

/* Room for 'n' more bytes at data + size. */
static inline int ck_bytes_reserve(struct ck_bytes *b, u64 n)
{
    void *data = b->data;
    int ok = n <= (u64)PTRDIFF_MAX - b->size && ck_reserve(&data, &b->capacity, b->size + n, 1);

    b->data = data;
    return ok;
}

static inline int ck_bytes_put(struct ck_bytes *b, u64 v, unsigned int width)
{
    if (!ck_bytes_reserve(b, width))
        return 0;
    ck_store(b->data + b->size, v, width);
    b->size += width;
    return 1;
}

#endif /* CK_COMMON_H */
