// The copy of a whole file for a worker thread.
#pragma once
#include <cstdint>

namespace lamina {

/**
 * Makes the empty file `dst` a copy of the first `size` bytes of `src`: FICLONE, else copy_file_range or read and write of
 * its data extents, so that holes stay holes. Sets the size, and fsyncs `dst` when asked. 0 or -errno. Moves the file
 * position of `src`.
 */
int64_t copyFile(int src, int dst, int64_t size, bool sync);

/**
 * The same for a file of at most 64 KiB without holes that is in the page cache, in no more time than copying memory takes;
 * -EAGAIN when it is not such a file, and `dst` is as it was.
 */
int64_t copyCached(int src, int dst, int64_t size);

}  // namespace lamina
