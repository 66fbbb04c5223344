/* Runs a SavedModel as TensorFlow Serving does, with no Python in the process.
 *
 *     predict MODEL_DIR REQUESTS ANSWERS
 *
 * REQUESTS is a TFRecord file of PredictionLogs, as a server's warm-up records are. Each
 * runs in one session, through TF_LoadSessionFromSavedModel and TF_SessionRun. Prints a
 * line for each, its signature and "OK" or the status' code and message, and writes the
 * outputs to ANSWERS: for each "signature\toutput\ttype\trank\tdims…\tbytes\n" and the
 * bytes, where strings are one after the other, each as "length\n" and its bytes.
 *
 * Messages are read from the wire by hand; the numbers of their fields are those of
 * tensorflow_serving/apis/{prediction_log,predict,model}.proto and
 * tensorflow/core/{framework/tensor,protobuf/meta_graph}.proto.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { MAX_TENSORS = 128, MAX_NAME = 256 };

typedef struct {
  const uint8_t* at;
  const uint8_t* end;
} Bytes;

typedef struct {
  int number;
  uint64_t value; /* of a varint */
  Bytes bytes;    /* of anything that has a length */
} Field;

static void fail(const char* what) {
  fprintf(stderr, "error: %s\n", what);
  exit(1);
}

static void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "error: %s: %s\n", what, TF_Message(status));
  exit(1);
}

static uint64_t read_varint(Bytes* bytes) {
  uint64_t value = 0;
  for (int shift = 0; bytes->at < bytes->end; shift += 7) {
    uint8_t byte = *bytes->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("a varint is cut off");
  return 0;
}

/* The next field of a message, or 0 at its end. */
static int next_field(Bytes* message, Field* field) {
  if (message->at == message->end) return 0;
  uint64_t key = read_varint(message);
  uint64_t length = 0;
  field->number = (int)(key >> 3);
  switch (key & 7) {
    case 0:
      field->value = read_varint(message);
      return 1;
    case 1:
      length = 8;
      break;
    case 2:
      length = read_varint(message);
      break;
    case 5:
      length = 4;
      break;
    default:
      fail("a field of an unknown kind");
  }
  if (length > (uint64_t)(message->end - message->at)) fail("a field is cut off");
  field->bytes.at = message->at;
  field->bytes.end = message->at += length;
  return 1;
}

/* A field's bytes, the last of that number; empty where there is none. */
static Bytes find(Bytes message, int number) {
  Bytes found = {message.at, message.at};
  Field field;
  while (next_field(&message, &field))
    if (field.number == number) found = field.bytes;
  return found;
}

static int equals(Bytes bytes, const char* text) {
  size_t size = bytes.end - bytes.at;
  return size == strlen(text) && !memcmp(bytes.at, text, size);
}

static void copy_name(Bytes bytes, char* name) {
  size_t size = bytes.end - bytes.at;
  if (size >= MAX_NAME) fail("a name is too long");
  memcpy(name, bytes.at, size);
  name[size] = 0;
}

/* The value of a map's entry, whose key is field 1 and value field 2. */
static Bytes find_in_map(Bytes message, int number, const char* key) {
  Bytes found = {NULL, NULL};
  Field field;
  while (next_field(&message, &field))
    if (field.number == number && equals(find(field.bytes, 1), key))
      found = find(field.bytes, 2);
  return found;
}

/* The operation and the index of its output that a TensorInfo names, "operation:0". */
static TF_Output find_output(TF_Graph* graph, Bytes info) {
  char name[MAX_NAME];
  copy_name(find(info, 1), name);
  char* colon = strrchr(name, ':');
  if (!colon) fail("a tensor's name has no :");
  *colon = 0;
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (!output.oper) fail("the graph lacks a tensor of the signature");
  return output;
}

/* A TF_Tensor of a TensorProto: its bytes, or its values, of which the last one may stand
 * for the rest. */
static TF_Tensor* to_tensor(Bytes proto) {
  int64_t dims[16], count = 1;
  int rank = 0, type = 0, integers = 0;
  uint64_t integer = 0;
  Bytes content = {NULL, NULL}, floats = {NULL, NULL}, strings[MAX_TENSORS];
  int string_count = 0;
  Field field, dim;
  while (next_field(&proto, &field)) {
    if (field.number == 1) type = (int)field.value;
    if (field.number == 2) {
      Bytes shape = field.bytes;
      while (next_field(&shape, &dim)) {
        Field size = {0};
        Bytes inner = dim.bytes;
        if (rank == 16) fail("a tensor's rank is too high");
        dims[rank] = 0;
        while (next_field(&inner, &size))
          if (size.number == 1) dims[rank] = (int64_t)size.value;
        count *= dims[rank++];
      }
    }
    if (field.number == 4) content = field.bytes;
    if (field.number == 5) floats = field.bytes; /* packed */
    if (field.number == 7 || field.number == 10) { /* packed, and one value only */
      Bytes values = field.bytes;
      integer = read_varint(&values);
      integers = 1;
    }
    if (field.number == 8 && string_count < MAX_TENSORS)
      strings[string_count++] = field.bytes;
  }
  size_t item = type == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(type);
  TF_Tensor* tensor = TF_AllocateTensor(type, dims, rank, count * item);
  uint8_t* data = TF_TensorData(tensor);
  if (type == TF_STRING) {
    if (count != string_count) fail("a tensor lacks strings");
    for (int i = 0; i < count; i++) {
      TF_TString* string = (TF_TString*)data + i;
      TF_TString_Init(string);
      TF_TString_Copy(string, (const char*)strings[i].at, strings[i].end - strings[i].at);
    }
  } else if (content.at) {
    if ((size_t)(content.end - content.at) != count * item) fail("a tensor's bytes");
    memcpy(data, content.at, count * item);
  } else {
    int64_t given = integers ? 1 : (floats.end - floats.at) / (int64_t)item;
    const uint8_t* values = integers ? (const uint8_t*)&integer : floats.at;
    if (count && !given) fail("a tensor has no values");
    for (int64_t i = 0; i < count; i++)
      memcpy(data + i * item, values + (i < given ? i : given - 1) * item, item);
  }
  return tensor;
}

static void write_output(FILE* file, const char* signature, const char* name,
                         TF_Tensor* tensor) {
  int64_t count = TF_TensorElementCount(tensor);
  size_t size = TF_TensorByteSize(tensor);
  fprintf(file, "%s\t%s\t%d\t%d", signature, name, TF_TensorType(tensor),
          TF_NumDims(tensor));
  for (int i = 0; i < TF_NumDims(tensor); i++)
    fprintf(file, "\t%lld", (long long)TF_Dim(tensor, i));
  if (TF_TensorType(tensor) != TF_STRING) {
    fprintf(file, "\t%zu\n", size);
    fwrite(TF_TensorData(tensor), 1, size, file);
    return;
  }
  fprintf(file, "\t0\n");
  const TF_TString* strings = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    size_t length = TF_TString_GetSize(&strings[i]);
    fprintf(file, "%zu\n", length);
    fwrite(TF_TString_GetDataPointer(&strings[i]), 1, length, file);
  }
}

static void run(TF_Session* session, TF_Graph* graph, Bytes meta_graph, Bytes request,
                FILE* answers) {
  char signature[MAX_NAME], names[MAX_TENSORS][MAX_NAME];
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *fed[MAX_TENSORS], *fetched[MAX_TENSORS] = {NULL};
  int input_count = 0, output_count = 0;
  Field field;

  copy_name(find(find(request, 1), 3), signature);
  if (!*signature) strcpy(signature, "serving_default");
  Bytes definition = find_in_map(meta_graph, 5, signature);
  if (!definition.at) fail("no such signature");
  for (Bytes at = request; next_field(&at, &field);) {
    if (field.number != 2) continue;
    char name[MAX_NAME];
    copy_name(find(field.bytes, 1), name);
    Bytes info = find_in_map(definition, 1, name);
    if (!info.at) fail("no such input");
    inputs[input_count] = find_output(graph, info);
    fed[input_count++] = to_tensor(find(field.bytes, 2));
  }
  Bytes filter = find(request, 3);
  for (Bytes at = definition; next_field(&at, &field);) {
    if (field.number != 2) continue;
    copy_name(find(field.bytes, 1), names[output_count]);
    if (filter.at != filter.end && !equals(filter, names[output_count])) continue;
    outputs[output_count++] = find_output(graph, find(field.bytes, 2));
  }
  TF_Status* status = TF_NewStatus();
  TF_SessionRun(session, NULL, inputs, fed, input_count, outputs, fetched, output_count,
                NULL, 0, NULL, status);
  if (TF_GetCode(status) == TF_OK) {
    printf("%s OK\n", signature);
  } else {
    const char* text = TF_Message(status);
    printf("%s %d %.*s\n", signature, TF_GetCode(status), (int)strcspn(text, "\n"), text);
  }
  for (int i = 0; i < output_count; i++) {
    if (!fetched[i]) continue;
    write_output(answers, signature, names[i], fetched[i]);
    TF_DeleteTensor(fetched[i]);
  }
  for (int i = 0; i < input_count; i++) TF_DeleteTensor(fed[i]);
  TF_DeleteStatus(status);
}

int main(int argc, char** argv) {
  if (argc != 4) fail("needs MODEL_DIR REQUESTS ANSWERS");
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Buffer* meta_graph = TF_NewBuffer();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, meta_graph, status);
  check(status, argv[1]);
  Bytes definition = {meta_graph->data, (uint8_t*)meta_graph->data + meta_graph->length};

  FILE* requests = fopen(argv[2], "rb");
  FILE* answers = fopen(argv[3], "wb");
  if (!requests || !answers) fail("cannot open the requests or the answers");
  uint64_t length;
  uint32_t checksum;
  while (fread(&length, sizeof length, 1, requests)) {
    uint8_t* record = malloc(length);
    if (!record || !fread(&checksum, sizeof checksum, 1, requests) ||
        !fread(record, length, 1, requests) ||
        !fread(&checksum, sizeof checksum, 1, requests))
      fail("a record is cut off");
    Bytes log = {record, record + length};
    run(session, graph, definition, find(find(log, 6), 1), answers);
    free(record);
  }
  fclose(requests);
  if (fclose(answers)) fail("cannot write the answers");
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  check(status, "closing");
  TF_DeleteGraph(graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteStatus(status);
  return 0;
}
