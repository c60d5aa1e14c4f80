/* The walk over many Avro records, and the codes of a column, without an object per record.

   Each function does what its counterpart in Python does (walk.py, columns.py), and the tests hold the two to the same results on the
   same bytes. Records are bytes of strangers: every read is preceded by a look at how many bytes its record has left, and a
   record that is unusual in any way is marked irregular and left to the codec. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum kind { TEXT = 1, LONG, DOUBLE, BOOLEAN, ENUM, TEXT_MAP, DOUBLE_MAP, FIXED, RECORDS };
#define WIDTH 4 /* numbers that describe a field: kind, place of null in its union or -1, size (of a fixed one, symbols, items), first of its items */

typedef struct {
    const uint8_t *at, *end;
    int regular;
} Cursor;

typedef struct {
    int64_t *start, *end;
    double *value;
} Entries; /* entry j of the map of each record */

typedef struct {
    int kind;
    int64_t null_branch, size;
    const int64_t *items;
    int64_t *first, *second; /* start and end, or value; counts of a map */
    double *value;
    uint8_t *present;
    Entries *entries;
    int64_t depth; /* entries that some record has */
} Field;

static void spoil(Cursor *cursor) { cursor->regular = 0; }

static int64_t read_long(Cursor *cursor) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7F) << shift; /* of the tenth byte one bit counts, as in the walk in Python */
        if (byte < 0x80)
            return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    }
    spoil(cursor);
    return 0;
}

static int skip(Cursor *cursor, int64_t size) {
    if (size < 0 || size > cursor->end - cursor->at) {
        spoil(cursor);
        return 0;
    }
    cursor->at += size;
    return 1;
}

static double read_double(Cursor *cursor) {
    const uint8_t *at = cursor->at;
    if (!skip(cursor, 8))
        return 0.0;
    uint64_t bits = 0;
    for (int place = 7; place >= 0; place--)
        bits = bits << 8 | at[place];
    double value;
    memcpy(&value, &bits, 8);
    if (!isfinite(value))
        spoil(cursor);
    return value;
}

static void read_boolean(Cursor *cursor) {
    const uint8_t *at = cursor->at;
    if (skip(cursor, 1) && *at > 1)
        spoil(cursor);
}

/* Whether the value of a union with null is there; for what is no union, yes. */
static int is_present(Cursor *cursor, int64_t null_branch) {
    if (null_branch < 0)
        return 1;
    int64_t branch = read_long(cursor);
    if (branch != 0 && branch != 1)
        spoil(cursor);
    return branch == 1 - null_branch;
}

/* The number of entries of a map or list in one block; 0 when it is irregular. */
static int64_t read_count(Cursor *cursor, int present, int64_t most) {
    int64_t count = present ? read_long(cursor) : 0;
    if (count < 0 || count > most)
        spoil(cursor);
    return cursor->regular ? count : 0;
}

static void pass_records(Cursor *cursor, const Field *field, int present, int64_t most) {
    int64_t count = read_count(cursor, present, most);
    for (int64_t place = 0; place < count && cursor->regular; place++) {
        for (int64_t number = 0; number < field->size && cursor->regular; number++) {
            const int64_t *item = field->items + WIDTH * number;
            if (!is_present(cursor, item[1]))
                continue;
            switch (item[0]) {
            case TEXT: skip(cursor, read_long(cursor)); break;
            case DOUBLE: read_double(cursor); break;
            case BOOLEAN: read_boolean(cursor); break;
            case FIXED: skip(cursor, item[2]); break;
            default: read_long(cursor);
            }
        }
    }
    if (count > 0 && cursor->regular && read_long(cursor) != 0)
        spoil(cursor);
}

static int add_entry(Field *field, Py_ssize_t rows) {
    Entries *entry = &field->entries[field->depth];
    size_t count = rows > 0 ? (size_t)rows : 1;
    entry->start = PyMem_Calloc(count, 8);
    entry->end = PyMem_Calloc(count, 8);
    entry->value = field->kind == DOUBLE_MAP ? PyMem_Calloc(count, 8) : NULL;
    field->depth++;
    return entry->start != NULL && entry->end != NULL && (field->kind != DOUBLE_MAP || entry->value != NULL);
}

/* Returns 0 when there is no memory. */
static int read_map(Cursor *cursor, Field *field, Py_ssize_t row, Py_ssize_t rows, const uint8_t *data, int present, int64_t most) {
    field->first[row] = cursor->at - data;
    int64_t count = read_count(cursor, present, most);
    for (int64_t place = 0; place < count && cursor->regular; place++) {
        int64_t length = read_long(cursor);
        int64_t start = cursor->at - data;
        skip(cursor, length);
        if (field->kind == TEXT_MAP) {
            skip(cursor, read_long(cursor));
            continue;
        }
        int64_t end = cursor->at - data;
        double value = read_double(cursor);
        if (!cursor->regular)
            break;
        if (place == field->depth && !add_entry(field, rows))
            return 0;
        field->entries[place].start[row] = start;
        field->entries[place].end[row] = end;
        field->entries[place].value[row] = value;
    }
    if (count > 0 && cursor->regular && read_long(cursor) != 0)
        spoil(cursor);
    if (field->kind == TEXT_MAP)
        field->second[row] = cursor->at - data;
    else
        field->first[row] = cursor->regular ? count : 0;
    return 1;
}

static int read_field(Cursor *cursor, Field *field, Py_ssize_t row, Py_ssize_t rows, const uint8_t *data, int64_t most) {
    int present = is_present(cursor, field->null_branch);
    switch (field->kind) {
    case TEXT:
    case FIXED: {
        int64_t length = !present ? 0 : field->kind == FIXED ? field->size : read_long(cursor);
        field->first[row] = present ? cursor->at - data : -1;
        if (present)
            skip(cursor, length);
        field->second[row] = present ? cursor->at - data : -1;
        return 1;
    }
    case LONG:
        field->first[row] = present ? read_long(cursor) : 0;
        if (field->present != NULL)
            field->present[row] = (uint8_t)present;
        return 1;
    case ENUM:
        field->first[row] = present ? read_long(cursor) : -1;
        if (present && (field->first[row] < 0 || field->first[row] >= field->size))
            spoil(cursor);
        return 1;
    case DOUBLE:
        field->value[row] = present ? read_double(cursor) : Py_NAN;
        return 1;
    case BOOLEAN:
        if (present)
            read_boolean(cursor);
        return 1;
    case RECORDS:
        pass_records(cursor, field, present, most);
        return 1;
    default:
        return read_map(cursor, field, row, rows, data, present, most);
    }
}

static int prepare(Field *field, const int64_t *number, const int64_t *plan, Py_ssize_t rows, int64_t most) {
    size_t count = rows > 0 ? (size_t)rows : 1;
    field->kind = (int)number[0];
    field->null_branch = number[1];
    field->size = number[2];
    field->items = field->kind == RECORDS ? plan + WIDTH * number[3] : NULL;
    int kind = field->kind, spans = kind == TEXT || kind == FIXED || kind == TEXT_MAP;
    if (spans || kind == LONG || kind == ENUM || kind == DOUBLE_MAP)
        if ((field->first = PyMem_Calloc(count, 8)) == NULL)
            return 0;
    if (spans && (field->second = PyMem_Calloc(count, 8)) == NULL)
        return 0;
    if (kind == DOUBLE && (field->value = PyMem_Calloc(count, 8)) == NULL)
        return 0;
    if (kind == LONG && field->null_branch >= 0 && (field->present = PyMem_Calloc(count, 1)) == NULL)
        return 0;
    return kind != DOUBLE_MAP || (field->entries = PyMem_Calloc((size_t)most, sizeof(Entries))) != NULL;
}

static void release(Field *field) {
    PyMem_Free(field->first);
    PyMem_Free(field->second);
    PyMem_Free(field->value);
    PyMem_Free(field->present);
    for (int64_t place = 0; place < field->depth; place++) {
        PyMem_Free(field->entries[place].start);
        PyMem_Free(field->entries[place].end);
        PyMem_Free(field->entries[place].value);
    }
    PyMem_Free(field->entries);
}

static PyObject *bytes_of(const void *array, Py_ssize_t rows, Py_ssize_t width) {
    if (array == NULL)
        return Py_NewRef(Py_None);
    return PyBytes_FromStringAndSize(array, rows * width);
}

/* (start, end or value, doubles, present, [(start, end, value) of each entry]) of one field; None for what it has not. */
static PyObject *told(const Field *field, Py_ssize_t rows) {
    PyObject *entries = PyList_New(0);
    for (int64_t place = 0; entries != NULL && place < field->depth; place++) {
        const Entries *entry = &field->entries[place];
        PyObject *one = Py_BuildValue("(NNN)", bytes_of(entry->start, rows, 8), bytes_of(entry->end, rows, 8), bytes_of(entry->value, rows, 8));
        if (one == NULL || PyList_Append(entries, one) < 0)
            Py_CLEAR(entries);
        Py_XDECREF(one);
    }
    if (entries == NULL)
        return NULL;
    return Py_BuildValue(
        "(NNNNN)", bytes_of(field->first, rows, 8), bytes_of(field->second, rows, 8), bytes_of(field->value, rows, 8), bytes_of(field->present, rows, 1),
        entries);
}

/* Whether the spans lie in the data, so that nothing that is read of them can lie outside. */
static int check_spans(const Py_buffer *data, const Py_buffer *start, const Py_buffer *end) {
    if (start->len != end->len || start->len % 8 != 0) {
        PyErr_SetString(PyExc_ValueError, "starts and ends must be arrays of as many 64-bit integers");
        return 0;
    }
    const int64_t *starts = start->buf, *ends = end->buf;
    for (Py_ssize_t row = 0; row < start->len / 8; row++) {
        if (starts[row] == -1 && ends[row] == -1)
            continue;
        if (starts[row] < 0 || ends[row] < starts[row] || ends[row] > data->len) {
            PyErr_Format(PyExc_ValueError, "span %zd lies outside the data", row);
            return 0;
        }
    }
    return 1;
}

static int check_plan(const Py_buffer *plan, int64_t fields) {
    int64_t numbers = plan->len / 8 / WIDTH;
    const int64_t *number = plan->buf;
    int good = plan->len % (8 * WIDTH) == 0 && fields >= 0 && fields <= numbers;
    for (int64_t place = 0; good && place < numbers; place++, number += WIDTH) {
        good = number[0] >= TEXT && number[0] <= RECORDS && number[1] >= -1 && number[1] <= 1 && number[2] >= 0;
        if (number[0] == RECORDS)
            good = good && place < fields && number[3] >= fields && number[3] <= numbers && number[2] <= numbers - number[3];
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "this is no plan; make it with trueloop.columns.plan.encoded");
    return good;
}

PyDoc_STRVAR(walk_doc, "walk(plan, fields, data, start, end, header, most)\n--\n\nReturn the regular rows and the columns of each field, as bytes of arrays.");

static PyObject *walk(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer plan, data, start, end, header;
    long long fields, most;
    if (!PyArg_ParseTuple(arguments, "y*Ly*y*y*y*L", &plan, &fields, &data, &start, &end, &header, &most))
        return NULL;
    PyObject *result = NULL;
    Field *columns = NULL;
    uint8_t *regular = NULL;
    if (!check_spans(&data, &start, &end) || !check_plan(&plan, fields))
        goto done;
    if (most < 1 || most > 4096) {
        PyErr_SetString(PyExc_ValueError, "most must be 1 to 4096");
        goto done;
    }
    Py_ssize_t rows = start.len / 8;
    const uint8_t *bytes = data.buf;
    const int64_t *starts = start.buf, *ends = end.buf, *numbers = plan.buf;
    int enough = (columns = PyMem_Calloc(fields ? (size_t)fields : 1, sizeof(Field))) != NULL;
    enough = enough && (regular = PyMem_Calloc(rows ? (size_t)rows : 1, 1)) != NULL;
    for (int64_t place = 0; enough && place < fields; place++)
        enough = prepare(&columns[place], numbers + WIDTH * place, numbers, rows, most);
    for (Py_ssize_t row = 0; enough && row < rows; row++) {
        int there = starts[row] >= 0;
        Cursor cursor = {bytes + (there ? starts[row] : 0), bytes + (there ? ends[row] : 0), 1};
        if (cursor.end - cursor.at < header.len || memcmp(cursor.at, header.buf, (size_t)header.len) != 0)
            continue; /* irregular */
        cursor.at += header.len;
        for (int64_t place = 0; enough && place < fields && cursor.regular; place++)
            enough = read_field(&cursor, &columns[place], row, rows, bytes, most);
        regular[row] = (uint8_t)cursor.regular;
    }
    if (!enough) {
        PyErr_NoMemory();
        goto done;
    }
    PyObject *found = PyList_New(fields);
    for (int64_t place = 0; found != NULL && place < fields; place++) {
        PyObject *one = told(&columns[place], rows);
        if (one == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, place, one);
    }
    if (found != NULL)
        result = Py_BuildValue("(NN)", bytes_of(regular, rows, 1), found);
done:
    for (int64_t place = 0; columns != NULL && place < fields; place++)
        release(&columns[place]);
    PyMem_Free(columns);
    PyMem_Free(regular);
    PyBuffer_Release(&plan);
    PyBuffer_Release(&data);
    PyBuffer_Release(&start);
    PyBuffer_Release(&end);
    PyBuffer_Release(&header);
    return result;
}

/* The bytes of a span; nothing for null. */
static PyObject *piece(const Py_buffer *data, int64_t start, int64_t end) {
    return PyBytes_FromStringAndSize(start < 0 ? NULL : (const char *)data->buf + start, start < 0 ? 0 : end - start);
}

PyDoc_STRVAR(pieces_doc, "pieces(data, start, end)\n--\n\nReturn the bytes of each span; of a null one, nothing.");

static PyObject *pieces(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer data, start, end;
    if (!PyArg_ParseTuple(arguments, "y*y*y*", &data, &start, &end))
        return NULL;
    PyObject *found = NULL;
    if (check_spans(&data, &start, &end))
        found = PyList_New(start.len / 8);
    const int64_t *starts = start.buf, *ends = end.buf;
    for (Py_ssize_t row = 0; found != NULL && row < start.len / 8; row++) {
        PyObject *one = piece(&data, starts[row], ends[row]);
        if (one == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, row, one);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&start);
    PyBuffer_Release(&end);
    return found;
}

#define RECENT 64 /* values that are looked at, one for each hash, before the dictionary is asked, whose hashes nobody can foresee */

typedef struct {
    int64_t start, size, code;
} Known;

/* A hash that strangers can foresee: it only says which of the recent values to compare with. */
static unsigned slot_of(const uint8_t *at, int64_t size) {
    uint64_t hash = (uint64_t)size;
    for (int64_t left = size; left > 0; at += 8, left -= 8) {
        uint64_t word = 0;
        memcpy(&word, at, left < 8 ? (size_t)left : 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    }
    return hash >> 58;
}

/* The code of a span: its place in `names`, where it is added if it is new. -1 on failure. */
static int64_t code_of(const Py_buffer *data, int64_t start, int64_t size, PyObject *known, PyObject *names) {
    PyObject *name = piece(data, start, start + size);
    if (name == NULL)
        return -1;
    int64_t code = -1;
    PyObject *number = PyDict_GetItemWithError(known, name);
    if (number != NULL) {
        code = PyLong_AsLongLong(number);
    } else if (!PyErr_Occurred()) {
        number = PyLong_FromSsize_t(PyList_GET_SIZE(names));
        if (number != NULL && PyDict_SetItem(known, name, number) == 0 && PyList_Append(names, name) == 0)
            code = PyList_GET_SIZE(names) - 1;
        Py_XDECREF(number);
    }
    Py_DECREF(name);
    return code;
}

PyDoc_STRVAR(codes_doc, "codes(data, start, end)\n--\n\nReturn the place of each span's bytes among the different ones, as bytes of an array, and these, in the order of their first row.");

static PyObject *codes(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer data, start, end;
    if (!PyArg_ParseTuple(arguments, "y*y*y*", &data, &start, &end))
        return NULL;
    PyObject *result = NULL, *known = NULL, *names = NULL, *coded = NULL;
    if (!check_spans(&data, &start, &end))
        goto done;
    Py_ssize_t rows = start.len / 8;
    const int64_t *starts = start.buf, *ends = end.buf;
    known = PyDict_New();
    names = PyList_New(0);
    coded = PyBytes_FromStringAndSize(NULL, rows * 8);
    if (known == NULL || names == NULL || coded == NULL)
        goto done;
    int64_t *code = (int64_t *)PyBytes_AS_STRING(coded);
    const uint8_t *bytes = data.buf;
    Known recent[RECENT];
    for (int slot = 0; slot < RECENT; slot++)
        recent[slot].size = -1;
    for (Py_ssize_t row = 0; row < rows; row++) {
        int64_t from = starts[row] < 0 ? 0 : starts[row], size = ends[row] - starts[row];
        Known *one = &recent[slot_of(bytes + from, size)];
        if (one->size != size || memcmp(bytes + one->start, bytes + from, (size_t)size) != 0) {
            int64_t number = code_of(&data, from, size, known, names);
            if (number < 0)
                goto done;
            *one = (Known){from, size, number};
        }
        code[row] = one->code;
    }
    result = PyTuple_Pack(2, coded, names);
done:
    Py_XDECREF(known);
    Py_XDECREF(names);
    Py_XDECREF(coded);
    PyBuffer_Release(&data);
    PyBuffer_Release(&start);
    PyBuffer_Release(&end);
    return result;
}

static PyMethodDef functions[] = {
    {"walk", walk, METH_VARARGS, walk_doc},
    {"pieces", pieces, METH_VARARGS, pieces_doc},
    {"codes", codes, METH_VARARGS, codes_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "compiled", "The walk over many records, compiled.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_compiled(void) { return PyModule_Create(&definition); }
