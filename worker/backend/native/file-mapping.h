// Files mapped over memory, by which processes of one host share theirs (shared/transport/file-windows.ts).
#pragma once
#include <fcntl.h>
#include <node_api.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "values.h"

namespace tfnodejs {

constexpr uintptr_t kPageBytes = 4096;

struct Pages {
  void *data = nullptr;
  size_t bytes = 0;
};

/** What a Uint8Array lies on, which has to be whole pages. */
inline bool PagesOf(napi_env env, napi_value array, Pages *pages) {
  napi_typedarray_type type;
  const napi_status got =
      napi_get_typedarray_info(env, array, &type, &pages->bytes, &pages->data, nullptr, nullptr);
  return got == napi_ok && type == napi_uint8_array && pages->bytes > 0 && pages->bytes % kPageBytes == 0 &&
         reinterpret_cast<uintptr_t>(pages->data) % kPageBytes == 0;
}

inline bool MakePlain(const Pages &pages) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  return mmap(pages.data, pages.bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
}

/** mapFile(descriptor, position, pages, owned): whether the pages are the file's now (shared/transport/file-windows.ts). */
inline napi_value MapFile(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  const int descriptor = static_cast<int>(Number(env, arguments[0]));
  const off_t position = Number(env, arguments[1]);
  const bool owned = Number(env, arguments[3]) != 0;
  Pages pages;
  struct stat file;
  bool mapped = PagesOf(env, arguments[2], &pages) && position % kPageBytes == 0;
  // A page beyond the end of a file, or one that there is no room for, would end the process when it is touched.
  if (mapped && owned) mapped = posix_fallocate(descriptor, position, pages.bytes) == 0;
  if (mapped && !owned)
    mapped = fstat(descriptor, &file) == 0 && file.st_size >= position + static_cast<off_t>(pages.bytes);
  if (mapped) {
    const int access = owned ? PROT_READ | PROT_WRITE : PROT_READ;
    mapped = mmap(pages.data, pages.bytes, access, MAP_SHARED | MAP_FIXED | MAP_POPULATE, descriptor, position) != MAP_FAILED;
    if (!mapped && !MakePlain(pages)) return Throw(env, "the memory under a file's window is gone");
  }
  napi_value result = nullptr;
  napi_get_boolean(env, mapped, &result);
  return result;
}

/** unmapFile(pages): they are plain memory again, of zeros. */
inline napi_value UnmapFile(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value array;
  napi_get_cb_info(env, info, &count, &array, nullptr, nullptr);
  Pages pages;
  if (!PagesOf(env, array, &pages) || !MakePlain(pages)) return Throw(env, "a file's window cannot be closed");
  return nullptr;
}

}  // namespace tfnodejs
