// The subjects of the addon, one file each: what a file exports, for addon.cc to put together.
#pragma once
#include <napi.h>

#include "args.h"

namespace lamina {

/** A table of rows with its length. */
struct Methods {
  const Method* rows;
  size_t count;
};

Methods fileMethods();      // file.cc: names and attributes
Methods dataMethods();      // data.cc: bytes, synchronous and on workers
Methods xattrMethods();     // xattr.cc
Methods identityMethods();  // identity.cc: handles, uuid, flags
Methods mountMethods();     // mount.cc: mounts, credentials, sockets
Methods fuseMethods();      // fuse.cc: /dev/fuse
Methods ringMethods();      // ring.cc: FUSE over io_uring
Methods socketMethods();    // socket.cc: connections of other programs
Methods watchMethods();     // watch.cc: readiness from the event loop

/** constants.cc */
Napi::Object constants(Napi::Env env);
/** file.cc: the slots that statx fills, in order. */
Napi::Array statSlots(Napi::Env env);

}  // namespace lamina
