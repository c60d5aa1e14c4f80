/* Hashes of ids, many at once, and ids of derived events: what identity.py here and draws.py of sampling do with hashlib. The tests hold both to the
   same results. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* BLAKE2b without a key: RFC 7693. */
static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
static const uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

#define TURN(value, bits) ((value) >> (bits) | (value) << (64 - (bits)))

#define MIX(a, b, c, d, x, y)         \
    do {                              \
        v[a] += v[b] + (x);           \
        v[d] ^= v[a];                 \
        v[d] = TURN(v[d], 32);        \
        v[c] += v[d];                 \
        v[b] ^= v[c];                 \
        v[b] = TURN(v[b], 24);        \
        v[a] += v[b] + (y);           \
        v[d] ^= v[a];                 \
        v[d] = TURN(v[d], 16);        \
        v[c] += v[d];                 \
        v[b] ^= v[c];                 \
        v[b] = TURN(v[b], 63);        \
    } while (0)

/* The same for the words of one text and for vectors with a word of each of several. */
#define ROUNDS(v, m)                                                   \
    _Pragma("GCC unroll 12") for (int round = 0; round < 12; round++) { \
        const uint8_t *s = SIGMA[round % 10];                          \
        MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);                            \
        MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);                            \
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);                           \
        MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);                           \
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);                           \
        MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);                         \
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);                          \
        MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);                          \
    }

static void compress(uint64_t *state, const uint8_t *block, uint64_t counted, int last) {
    uint64_t v[16], m[16];
    for (int word = 0; word < 16; word++) {
        m[word] = 0;
        for (int byte = 7; byte >= 0; byte--)
            m[word] = m[word] << 8 | block[8 * word + byte];
    }
    memcpy(v, state, 64);
    memcpy(v + 8, IV, 64);
    v[12] ^= counted;
    if (last)
        v[14] = ~v[14];
    ROUNDS(v, m)
    for (int word = 0; word < 8; word++)
        state[word] ^= v[word] ^ v[word + 8];
}

typedef struct {
    uint64_t state[8], counted;
    uint8_t block[128];
    size_t held;
} Hash;

#define PARAMETERS(size) (0x01010000 ^ (uint64_t)(size)) /* no key, no tree, a digest of so many bytes */

static void begin(Hash *hash, unsigned size) {
    memcpy(hash->state, IV, 64);
    hash->state[0] ^= PARAMETERS(size);
    hash->counted = 0;
    hash->held = 0;
}

/* The last block is compressed otherwise than those before it, so a full one waits until more comes. */
static void add(Hash *hash, const uint8_t *data, size_t size) {
    while (size > 0) {
        if (hash->held == 128) {
            hash->counted += 128;
            compress(hash->state, hash->block, hash->counted, 0);
            hash->held = 0;
        }
        size_t some = 128 - hash->held < size ? 128 - hash->held : size;
        memcpy(hash->block + hash->held, data, some);
        hash->held += some;
        data += some;
        size -= some;
    }
}

static void end(Hash *hash) {
    memset(hash->block + hash->held, 0, 128 - hash->held);
    compress(hash->state, hash->block, hash->counted + hash->held, 1);
}

#define GROUP 8 /* lanes of the widest vector */

typedef struct {
    const uint8_t *data;
    size_t size;
    char *found; /* where the first eight bytes of the digest go, read as a big-endian number */
} Text;

static void found(const Text *text, uint64_t word) {
    uint64_t number = 0;
    for (int byte = 0; byte < 8; byte++)
        number = number << 8 | (word >> (8 * byte) & 0xFF);
    memcpy(text->found, &number, 8);
}

static void hash_one(const Text *text) {
    Hash hash;
    begin(&hash, 8);
    add(&hash, text->data, text->size);
    end(&hash);
    found(text, hash.state[0]);
}

/* Texts of a block at most, as many at once as a vector has lanes: word w of text i is lane i of m[w]. What every x86-64 has, vectors of two words, was
   measured to gain little, so a processor without wider ones hashes one text after the other. */
#if defined(__GNUC__) && defined(__x86_64__)
#define WIDE(name, lanes, feature)                                              \
    __attribute__((target(feature))) static void name(const Text *texts) {      \
        typedef uint64_t Words __attribute__((vector_size(8 * (lanes))));       \
        Words v[16], m[16] = {{0}};                                             \
        for (int word = 0; word < 16; word++)                                   \
            v[word] = (Words){0} + IV[word % 8];                                \
        v[0] ^= PARAMETERS(8);                                                  \
        v[14] = ~v[14];                                                         \
        for (int lane = 0; lane < (lanes); lane++) {                            \
            const Text *text = texts + lane;                                    \
            for (size_t place = 0; place < text->size; place += 8) {            \
                size_t left = text->size - place;                               \
                uint64_t word = 0;                                              \
                memcpy(&word, text->data + place, left < 8 ? left : 8);         \
                m[place / 8][lane] = word;                                      \
            }                                                                   \
            v[12][lane] ^= text->size;                                          \
        }                                                                       \
        ROUNDS(v, m)                                                            \
        v[0] ^= v[8] ^ IV[0] ^ PARAMETERS(8);                                   \
        for (int lane = 0; lane < (lanes); lane++)                              \
            found(texts + lane, v[0][lane]);                                    \
    }
WIDE(hash_four, 4, "avx2")
WIDE(hash_eight, 8, "avx512f")
static int widest; /* lanes that this processor has; set when the module is loaded */
#endif

static void hash_short(const Text *texts, int count) {
    int done = 0;
#ifdef WIDE
    for (; widest >= 8 && count - done >= 8; done += 8)
        hash_eight(texts + done);
    for (; widest >= 4 && count - done >= 4; done += 4)
        hash_four(texts + done);
#endif
    for (; done < count; done++)
        hash_one(texts + done);
}

PyDoc_STRVAR(hashes_doc, "hashes(texts)\n--\n\nReturn 64 bits of the BLAKE2b hash of each, as bytes of an array of the machine's byte order.");

static PyObject *hashes(PyObject *module, PyObject *texts) {
    (void)module;
    if (!PyList_Check(texts)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of bytes");
        return NULL;
    }
    Text group[GROUP] = {{0}};
    int held = 0;
    Py_ssize_t rows = PyList_GET_SIZE(texts);
    PyObject *all = PyBytes_FromStringAndSize(NULL, rows * 8);
    for (Py_ssize_t row = 0; all != NULL && row < rows; row++) {
        PyObject *text = PyList_GET_ITEM(texts, row);
        if (!PyBytes_Check(text)) {
            PyErr_SetString(PyExc_TypeError, "expected a list of bytes");
            Py_DECREF(all);
            return NULL;
        }
        group[held] = (Text){(const uint8_t *)PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text), PyBytes_AS_STRING(all) + 8 * row};
        if (group[held].size > 128)
            hash_one(group + held);
        else if (++held == GROUP) {
            hash_short(group, held);
            held = 0;
        }
    }
    hash_short(group, held);
    return all;
}

#define LONGEST 64 /* bytes of a digest */

PyDoc_STRVAR(
    digest_doc, "digest(parts, size)\n--\n\nReturn `size` bytes of the hash of a tuple of strings, each in UTF-8 and after its length in eight bytes, big-endian.");

static PyObject *digest(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 2 || !PyTuple_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple of strings and a size");
        return NULL;
    }
    long size = PyLong_AsLong(arguments[1]);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 1 || size > LONGEST) {
        PyErr_SetString(PyExc_ValueError, "a digest has 1 to 64 bytes");
        return NULL;
    }
    Hash hash;
    begin(&hash, (unsigned)size);
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(arguments[0]); place++) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(arguments[0], place), &length);
        if (text == NULL)
            return NULL;
        uint8_t before[8];
        for (int byte = 0; byte < 8; byte++)
            before[byte] = (uint8_t)((uint64_t)length >> (56 - 8 * byte));
        add(&hash, before, 8);
        add(&hash, (const uint8_t *)text, (size_t)length);
    }
    end(&hash);
    uint8_t found[LONGEST];
    for (int byte = 0; byte < LONGEST; byte++)
        found[byte] = (uint8_t)(hash.state[byte / 8] >> (8 * (byte % 8)));
    return PyBytes_FromStringAndSize((const char *)found, size);
}

static PyMethodDef functions[] = {
    {"hashes", hashes, METH_O, hashes_doc},
    {"digest", (PyCFunction)(void (*)(void))digest, METH_FASTCALL, digest_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled", "Hashes, compiled.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_compiled(void) {
#ifdef WIDE
    __builtin_cpu_init();
    widest = __builtin_cpu_supports("avx512f") ? 8 : __builtin_cpu_supports("avx2") ? 4 : 1;
#endif
    return PyModule_Create(&definition);
}
