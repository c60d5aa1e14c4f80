/* The sum of a record batch, and where its records are (Kafka's format of magic 2, decompressed): without an object per record.

   What a batch holds was written by strangers, and its sum was checked only against itself: every read is preceded by a look at how many bytes
   are left. The layout is that of aiokafka's default_records.py, which this agrees with record by record; a test compares the two. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define SMALLEST 7 /* bytes of a record: a byte for each of its numbers */

typedef struct {
    const uint8_t *at, *end;
    const char *fault;
} Cursor;

static int64_t read_long(Cursor *cursor) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    cursor->fault = "a number is cut, or longer than ten bytes";
    return 0;
}

static void skip(Cursor *cursor, int64_t size) {
    if (size > cursor->end - cursor->at)
        cursor->fault = "a piece reaches beyond the end";
    else if (size > 0)
        cursor->at += size;
}

/* Reads a length and as many bytes; a negative length says that there is nothing, not even an empty piece. `shift` is added to places. */
static void read_piece(Cursor *cursor, const uint8_t *data, int64_t shift, int64_t *start, int64_t *end) {
    int64_t size = read_long(cursor);
    *start = size < 0 ? -1 : cursor->at - data + shift;
    if (cursor->fault == NULL)
        skip(cursor, size);
    *end = size < 0 ? -1 : cursor->at - data + shift;
}

static void pass_headers(Cursor *cursor) {
    int64_t count = read_long(cursor);
    if (cursor->fault == NULL && count < 0)
        cursor->fault = "a number of headers is negative";
    for (int64_t place = 0; place < count && cursor->fault == NULL; place++) {
        int64_t size = read_long(cursor);
        if (size < 0)
            cursor->fault = "the length of a header's name is negative";
        if (cursor->fault == NULL)
            skip(cursor, size);
        if (cursor->fault == NULL)
            skip(cursor, read_long(cursor));
    }
}

enum { EDGES, OFFSETS, TIMESTAMPS, KEY_STARTS, KEY_ENDS, VALUE_STARTS, VALUE_ENDS, HEADERS, ARRAYS };

PyDoc_STRVAR(
    spans_doc,
    "spans(data, count, base_offset, first_timestamp, shift)\n--\n\n"
    "Return, as bytes of arrays of 64-bit integers: where the records start (and the last one ends), their offsets and timestamps, where keys and "
    "values start and end (-1: there is none), and where the number of headers stands (-1: it is 0). To the places, but for the first ones, `shift` is "
    "added. Raises ValueError when these are not `count` records.");

static PyObject *spans(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer data;
    long long count, base_offset, first_timestamp, shift;
    if (!PyArg_ParseTuple(arguments, "y*LLLL", &data, &count, &base_offset, &first_timestamp, &shift))
        return NULL;
    PyObject *result = NULL;
    int64_t *arrays = NULL;
    const uint8_t *bytes = data.buf;
    Cursor cursor = {bytes, bytes + data.len, NULL};
    if (shift < 0 || shift > INT64_MAX / 2) {
        PyErr_SetString(PyExc_ValueError, "places cannot be shifted so far");
        goto done;
    }
    if (count < 0 || count > data.len / SMALLEST) {
        PyErr_Format(PyExc_ValueError, "%lld records are announced in %zd bytes", count, data.len);
        goto done;
    }
    size_t rows = (size_t)count;
    arrays = PyMem_Malloc((rows * ARRAYS + 1) * 8);
    if (arrays == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    int64_t *each[ARRAYS];
    each[EDGES] = arrays;
    for (int number = 1; number < ARRAYS; number++)
        each[number] = arrays + 1 + rows * (size_t)number;
    for (size_t row = 0; row < rows && cursor.fault == NULL; row++) {
        each[EDGES][row] = cursor.at - bytes;
        int64_t size = read_long(&cursor);
        const uint8_t *start = cursor.at;
        read_long(&cursor); /* attributes; none is defined */
        each[TIMESTAMPS][row] = (int64_t)((uint64_t)first_timestamp + (uint64_t)read_long(&cursor));
        each[OFFSETS][row] = (int64_t)((uint64_t)base_offset + (uint64_t)read_long(&cursor));
        if (row > 0 && each[OFFSETS][row] <= each[OFFSETS][row - 1] && cursor.fault == NULL)
            cursor.fault = "offsets do not ascend"; /* who searches among them would pass over records */
        if (cursor.fault == NULL)
            read_piece(&cursor, bytes, shift, &each[KEY_STARTS][row], &each[KEY_ENDS][row]);
        if (cursor.fault == NULL)
            read_piece(&cursor, bytes, shift, &each[VALUE_STARTS][row], &each[VALUE_ENDS][row]);
        int64_t headers = cursor.at - bytes;
        if (cursor.fault == NULL)
            pass_headers(&cursor);
        if (cursor.fault == NULL && cursor.at - start != size)
            cursor.fault = "a record has not the length that it announces";
        each[HEADERS][row] = cursor.fault == NULL && bytes[headers] != 0 ? headers + shift : -1;
    }
    if (cursor.fault == NULL && cursor.at != cursor.end)
        cursor.fault = "bytes are left over after the last record";
    if (cursor.fault != NULL) {
        PyErr_SetString(PyExc_ValueError, cursor.fault);
        goto done;
    }
    each[EDGES][rows] = cursor.at - bytes;
    result = PyTuple_New(ARRAYS);
    for (int number = 0; result != NULL && number < ARRAYS; number++) {
        PyObject *array = PyBytes_FromStringAndSize((char *)each[number], (Py_ssize_t)(rows + (number == EDGES)) * 8);
        if (array == NULL)
            Py_CLEAR(result);
        else
            PyTuple_SET_ITEM(result, number, array);
    }
done:
    PyMem_Free(arrays);
    PyBuffer_Release(&data);
    return result;
}

/* CRC-32C (Castagnoli), as a processor computes it where it can, else by a table. */
static uint32_t table[256];

static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78 : 0);
        table[byte] = sum;
    }
}

static uint32_t sum_by_table(uint32_t sum, const uint8_t *at, Py_ssize_t size) {
    for (const uint8_t *end = at + size; at < end; at++)
        sum = sum >> 8 ^ table[(sum ^ *at) & 0xFF];
    return sum;
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("sse4.2"))) static uint32_t sum_by_processor(uint32_t sum, const uint8_t *at, Py_ssize_t size) {
    uint64_t wide = sum;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    return sum_by_table((uint32_t)wide, at, size);
}
#define CAN_SUM __builtin_cpu_supports("sse4.2")
#else
#define sum_by_processor sum_by_table
#define CAN_SUM 0
#endif

PyDoc_STRVAR(crc32c_doc, "crc32c(data, by_table=False)\n--\n\nReturn the CRC-32C of bytes; `by_table` without the processor's instruction for it.");

static PyObject *crc32c(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer data;
    int by_table = 0;
    if (!PyArg_ParseTuple(arguments, "y*|p", &data, &by_table))
        return NULL;
    uint32_t sum = !by_table && CAN_SUM ? sum_by_processor(~0u, data.buf, data.len) : sum_by_table(~0u, data.buf, data.len);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(~sum);
}

static PyMethodDef functions[] = {
    {"spans", spans, METH_VARARGS, spans_doc},
    {"crc32c", crc32c, METH_VARARGS, crc32c_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled", "The records of a fetch, compiled.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_compiled(void) {
    fill_table();
    return PyModule_Create(&definition);
}
