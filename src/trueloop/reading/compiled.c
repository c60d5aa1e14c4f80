/* Events read from Avro into what fastavro makes of them. Bytes are whatever somebody sent, so nothing is read that was not counted before, and no room
   is made for what was only announced. What is unusual in any way (a moment that Python has no name for, a list in blocks of known sizes) or wrong is
   left to fastavro, which knows all of Avro and says what is wrong. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <datetime.h>
#include <stdint.h>
#include <string.h>

enum { TEXT = 1, LONG, DOUBLE, BOOLEAN, BYTES, FIXED, ENUM, MOMENT, LIST, MAP, RECORD };
#define DEEPEST 16 /* records, lists and maps in each other */

typedef struct {
    const uint8_t *at, *end;
} In;

/* All of these return what they read, or NULL (-1 where they return a number) when it is to be read by fastavro. An exception may be set then; the
   caller clears it. */

static int get_long(In *in, int64_t *value) {
    uint64_t zigzag = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end)
            return -1;
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1) /* of the tenth byte, one bit has room */
            return -1;
        zigzag |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = (int64_t)(zigzag >> 1 ^ (0 - (zigzag & 1)));
            return 0;
        }
    }
    return -1;
}

/* Returns where so many bytes begin and goes on behind them. */
static const char *get_bytes(In *in, int64_t size) {
    if (size < 0 || size > in->end - in->at)
        return NULL;
    const uint8_t *start = in->at;
    in->at += size;
    return (const char *)start;
}

static PyObject *get_text(In *in) {
    int64_t size;
    const char *text = get_long(in, &size) < 0 ? NULL : get_bytes(in, size);
    return text == NULL ? NULL : PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, NULL);
}

static PyObject *get_integer(In *in) {
    int64_t value;
    return get_long(in, &value) < 0 ? NULL : PyLong_FromLongLong(value);
}

static PyObject *get_double(In *in) {
    const char *data = get_bytes(in, 8);
    if (data == NULL)
        return NULL;
    uint64_t bits = 0;
    for (int byte = 0; byte < 8; byte++)
        bits |= (uint64_t)(uint8_t)data[byte] << (8 * byte);
    double number;
    memcpy(&number, &bits, 8);
    return PyFloat_FromDouble(number);
}

static PyObject *get_boolean(In *in) {
    const char *data = get_bytes(in, 1);
    return data == NULL || (uint8_t)*data > 1 ? NULL : Py_NewRef(*data ? Py_True : Py_False);
}

static PyObject *get_binary(In *in, int64_t size) {
    const char *data = get_bytes(in, size);
    return data == NULL ? NULL : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

static PyObject *get_symbol(In *in, PyObject *more) {
    int64_t place;
    PyObject *symbols = PyTuple_CheckExact(more) && PyTuple_GET_SIZE(more) == 2 ? PyTuple_GET_ITEM(more, 1) : NULL;
    if (symbols == NULL || !PyTuple_CheckExact(symbols) || get_long(in, &place) < 0 || place < 0 || place >= PyTuple_GET_SIZE(symbols))
        return NULL;
    return Py_NewRef(PyTuple_GET_ITEM(symbols, place));
}

#define DAY 86400000000 /* microseconds */
#define FIRST_DAY -719162 /* 1 January 1 */
#define LAST_DAY 2932896 /* 31 December 9999 */

/* The date from the days since the epoch: Hinnant (2013), chrono-compatible low-level date algorithms, civil_from_days. */
static PyObject *get_moment(In *in) {
    int64_t value;
    if (get_long(in, &value) < 0)
        return NULL;
    int64_t day = value / DAY, rest = value % DAY;
    if (rest < 0) {
        rest += DAY;
        day--;
    }
    if (day < FIRST_DAY || day > LAST_DAY)
        return NULL;
    int from_march = (int)day + 719468; /* since 1 March of the year 0, so it is not negative */
    int era = from_march / 146097, of_era = from_march % 146097;
    int year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int months = (5 * of_year + 2) / 153, month = months < 10 ? months + 3 : months - 9;
    int year = year_of_era + era * 400 + (month <= 2), second = (int)(rest / 1000000);
    return PyDateTimeAPI->DateTime_FromDateAndTime(year, month, of_year - (153 * months + 2) / 5 + 1, second / 3600, second / 60 % 60, second % 60,
                                                   (int)(rest % 1000000), PyDateTime_TimeZone_UTC, PyDateTimeAPI->DateTimeType);
}

static PyObject *get_node(In *in, PyObject *node, int depth);

static int fill_list(In *in, PyObject *element, PyObject *list, int depth) {
    int64_t count;
    while (get_long(in, &count) == 0 && count >= 0) {
        if (count == 0)
            return 0;
        for (; count; count--) {
            const uint8_t *start = in->at;
            PyObject *item = get_node(in, element, depth);
            /* Items that take no bytes would come without end. */
            int done = item == NULL || in->at == start ? -1 : PyList_Append(list, item);
            Py_XDECREF(item);
            if (done < 0)
                return -1;
        }
    }
    return -1;
}

static int fill_map(In *in, PyObject *element, PyObject *map, int depth) {
    int64_t count;
    while (get_long(in, &count) == 0 && count >= 0) {
        if (count == 0)
            return 0;
        for (; count; count--) {
            PyObject *key = get_text(in), *held = key == NULL ? NULL : get_node(in, element, depth);
            int done = held == NULL ? -1 : PyDict_SetItem(map, key, held);
            Py_XDECREF(key);
            Py_XDECREF(held);
            if (done < 0)
                return -1;
        }
    }
    return -1;
}

static int fill_record(In *in, PyObject *fields, PyObject *record, int depth) {
    if (!PyTuple_CheckExact(fields))
        return -1;
    for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(fields); place++) {
        PyObject *field = PyTuple_GET_ITEM(fields, place);
        if (!PyTuple_CheckExact(field) || PyTuple_GET_SIZE(field) != 2)
            return -1;
        PyObject *held = get_node(in, PyTuple_GET_ITEM(field, 1), depth);
        int done = held == NULL ? -1 : PyDict_SetItem(record, PyTuple_GET_ITEM(field, 0), held);
        Py_XDECREF(held);
        if (done < 0)
            return -1;
    }
    return 0;
}

static PyObject *filled(In *in, PyObject *more, int depth, PyObject *made, int (*fill)(In *, PyObject *, PyObject *, int)) {
    if (made != NULL && fill(in, more, made, depth) < 0)
        Py_CLEAR(made);
    return made;
}

static PyObject *get_node(In *in, PyObject *node, int depth) {
    if (depth > DEEPEST || !PyTuple_CheckExact(node) || PyTuple_GET_SIZE(node) != 3)
        return NULL;
    PyObject *more = PyTuple_GET_ITEM(node, 2);
    int64_t number;
    if (PyTuple_GET_ITEM(node, 1) == Py_True) {
        if (get_long(in, &number) < 0 || number < 0 || number > 1)
            return NULL;
        if (number == 0)
            return Py_NewRef(Py_None);
    }
    switch (PyLong_AsLong(PyTuple_GET_ITEM(node, 0))) {
    case TEXT:
        return get_text(in);
    case LONG:
        return get_integer(in);
    case DOUBLE:
        return get_double(in);
    case BOOLEAN:
        return get_boolean(in);
    case BYTES:
        return get_long(in, &number) < 0 ? NULL : get_binary(in, number);
    case FIXED:
        return get_binary(in, PyLong_AsSsize_t(more));
    case ENUM:
        return get_symbol(in, more);
    case MOMENT:
        return get_moment(in);
    case LIST:
        return filled(in, more, depth + 1, PyList_New(0), fill_list);
    case MAP:
        return filled(in, more, depth + 1, PyDict_New(), fill_map);
    case RECORD:
        return filled(in, more, depth + 1, PyDict_New(), fill_record);
    default:
        return NULL;
    }
}

PyDoc_STRVAR(read_doc, "read(plan, data, start)\n--\n\nReturn the record from byte `start` to the end of the data; None when fastavro is to read it.");

static PyObject *read_event(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "expected a plan, bytes and a whole number");
        return NULL;
    }
    PyObject *found = NULL;
    Py_ssize_t size = PyBytes_Check(arguments[1]) ? PyBytes_GET_SIZE(arguments[1]) : -1, start = PyLong_AsSsize_t(arguments[2]);
    if (start >= 0 && start <= size) {
        const uint8_t *data = (const uint8_t *)PyBytes_AS_STRING(arguments[1]);
        In in = {data + start, data + size};
        found = get_node(&in, arguments[0], 0);
        if (in.at != in.end)
            Py_CLEAR(found);
    }
    if (found == NULL) {
        PyErr_Clear();
        found = Py_NewRef(Py_None);
    }
    return found;
}

static PyMethodDef functions[] = {
    {"read", (PyCFunction)(void (*)(void))read_event, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled", "Events from Avro, compiled.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_compiled(void) {
    PyDateTime_IMPORT;
    return PyDateTimeAPI == NULL ? NULL : PyModule_Create(&definition);
}
