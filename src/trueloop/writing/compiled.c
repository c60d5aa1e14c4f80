/* Avro of events, written from the attributes of their models: what fastavro writes of them, without the dictionaries between. What is unusual in any
   way (a number that is no 64-bit integer, a moment that is not in UTC) is left to fastavro, which knows all of Avro and says what is wrong. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <datetime.h>
#include <stdint.h>
#include <string.h>

enum { TEXT = 1, LONG, DOUBLE, BOOLEAN, BYTES, FIXED, ENUM, MOMENT, LIST, MAP, RECORD };
#define DEEPEST 16 /* records, lists and maps in each other */

typedef struct {
    uint8_t *data;
    size_t size, room;
} Out;

/* All of these return 0 when they did it, -1 when the value is to be written by fastavro. An exception may be set then; the caller clears it. */

static int put(Out *out, const void *data, size_t size) {
    if (size > out->room - out->size) {
        size_t room = 2 * out->room + size;
        uint8_t *moved = PyMem_Realloc(out->data, room);
        if (moved == NULL)
            return -1;
        out->data = moved;
        out->room = room;
    }
    if (size)
        memcpy(out->data + out->size, data, size);
    out->size += size;
    return 0;
}

static int put_long(Out *out, int64_t value) {
    uint64_t zigzag = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    uint8_t bytes[10];
    int size = 0;
    do {
        bytes[size] = zigzag & 0x7F;
        zigzag >>= 7;
        if (zigzag)
            bytes[size] |= 0x80;
        size++;
    } while (zigzag);
    return put(out, bytes, size);
}

static int put_sized(Out *out, const void *data, Py_ssize_t size) { return put_long(out, size) < 0 ? -1 : put(out, data, size); }

static int put_text(Out *out, PyObject *value) {
    Py_ssize_t size;
    const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &size) : NULL;
    return text == NULL ? -1 : put_sized(out, text, size);
}

static int put_integer(Out *out, PyObject *value) {
    if (!PyLong_CheckExact(value))
        return -1;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return overflow ? -1 : put_long(out, number);
}

static int put_double(Out *out, PyObject *value) {
    if (!PyFloat_CheckExact(value))
        return -1;
    double number = PyFloat_AS_DOUBLE(value);
    uint64_t bits;
    memcpy(&bits, &number, 8);
    uint8_t bytes[8];
    for (int byte = 0; byte < 8; byte++)
        bytes[byte] = (uint8_t)(bits >> (8 * byte));
    return put(out, bytes, 8);
}

/* Days from the epoch to a date of the Gregorian calendar: Hinnant (2013), chrono-compatible low-level date algorithms, days_from_civil. */
static int64_t days(int year, int month, int day) {
    year -= month <= 2;
    int era = year / 400, of_era = year % 400; /* a year of Python is at least 1, so neither is negative */
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int put_moment(Out *out, PyObject *value) {
    if (!PyDateTime_CheckExact(value) || PyDateTime_DATE_GET_TZINFO(value) != PyDateTime_TimeZone_UTC)
        return -1;
    int64_t seconds = days(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value), PyDateTime_GET_DAY(value)) * 86400 +
                      PyDateTime_DATE_GET_HOUR(value) * 3600 + PyDateTime_DATE_GET_MINUTE(value) * 60 + PyDateTime_DATE_GET_SECOND(value);
    return put_long(out, seconds * 1000000 + PyDateTime_DATE_GET_MICROSECOND(value));
}

static int put_node(Out *out, PyObject *node, PyObject *value, int depth);

static int put_list(Out *out, PyObject *element, PyObject *value, int depth) {
    if (!PyList_CheckExact(value))
        return -1;
    if (PyList_GET_SIZE(value) && put_long(out, PyList_GET_SIZE(value)) < 0)
        return -1;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(value); place++)
        if (put_node(out, element, PyList_GET_ITEM(value, place), depth) < 0)
            return -1;
    return put_long(out, 0);
}

static int put_map(Out *out, PyObject *element, PyObject *value, int depth) {
    if (!PyDict_CheckExact(value))
        return -1;
    if (PyDict_GET_SIZE(value) && put_long(out, PyDict_GET_SIZE(value)) < 0)
        return -1;
    PyObject *key, *held;
    Py_ssize_t place = 0;
    while (PyDict_Next(value, &place, &key, &held))
        if (put_text(out, key) < 0 || put_node(out, element, held, depth) < 0)
            return -1;
    return put_long(out, 0);
}

static int put_record(Out *out, PyObject *fields, PyObject *value, int depth) {
    if (!PyTuple_CheckExact(fields))
        return -1;
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(fields); place++) {
        PyObject *field = PyTuple_GET_ITEM(fields, place);
        if (!PyTuple_CheckExact(field) || PyTuple_GET_SIZE(field) != 2)
            return -1;
        PyObject *held = PyObject_GetAttr(value, PyTuple_GET_ITEM(field, 0));
        if (held == NULL)
            return -1;
        int done = put_node(out, PyTuple_GET_ITEM(field, 1), held, depth);
        Py_DECREF(held);
        if (done < 0)
            return -1;
    }
    return 0;
}

static int put_node(Out *out, PyObject *node, PyObject *value, int depth) {
    if (depth > DEEPEST || !PyTuple_CheckExact(node) || PyTuple_GET_SIZE(node) != 3)
        return -1;
    PyObject *more = PyTuple_GET_ITEM(node, 2);
    if (PyTuple_GET_ITEM(node, 1) == Py_True) {
        if (put_long(out, value != Py_None) < 0)
            return -1;
        if (value == Py_None)
            return 0;
    }
    switch (PyLong_AsLong(PyTuple_GET_ITEM(node, 0))) {
    case TEXT:
        return put_text(out, value);
    case LONG:
        return put_integer(out, value);
    case DOUBLE:
        return put_double(out, value);
    case BOOLEAN:
        return PyBool_Check(value) ? put(out, value == Py_True ? "\1" : "\0", 1) : -1;
    case BYTES:
        return PyBytes_CheckExact(value) ? put_sized(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) : -1;
    case FIXED:
        if (!PyBytes_CheckExact(value) || PyBytes_GET_SIZE(value) != PyLong_AsSsize_t(more))
            return -1;
        return put(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
    case ENUM: {
        PyObject *places = PyTuple_CheckExact(more) && PyTuple_GET_SIZE(more) == 2 ? PyTuple_GET_ITEM(more, 0) : NULL;
        PyObject *place = places != NULL && PyDict_CheckExact(places) ? PyDict_GetItemWithError(places, value) : NULL;
        return place == NULL ? -1 : put_integer(out, place);
    }
    case MOMENT:
        return put_moment(out, value);
    case LIST:
        return put_list(out, more, value, depth + 1);
    case MAP:
        return put_map(out, more, value, depth + 1);
    case RECORD:
        return put_record(out, more, value, depth + 1);
    default:
        return -1;
    }
}

PyDoc_STRVAR(written_doc, "written(plan, event, header)\n--\n\nReturn the header and the event's Avro behind it; None when fastavro is to write it.");

static PyObject *written(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 3 || !PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "expected a plan, an event and bytes");
        return NULL;
    }
    Out out = {PyMem_Malloc(4096), 0, 4096};
    if (out.data == NULL)
        return PyErr_NoMemory();
    PyObject *found = NULL;
    if (put(&out, PyBytes_AS_STRING(arguments[2]), PyBytes_GET_SIZE(arguments[2])) == 0 && put_node(&out, arguments[0], arguments[1], 0) == 0) {
        found = PyBytes_FromStringAndSize((const char *)out.data, out.size);
    } else {
        PyErr_Clear();
        found = Py_NewRef(Py_None);
    }
    PyMem_Free(out.data);
    return found;
}

static PyMethodDef functions[] = {
    {"written", (PyCFunction)(void (*)(void))written, METH_FASTCALL, written_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled", "Avro of events, compiled.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_compiled(void) {
    PyDateTime_IMPORT;
    return PyDateTimeAPI == NULL ? NULL : PyModule_Create(&definition);
}
