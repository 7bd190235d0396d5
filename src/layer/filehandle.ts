// The identity of a file in the format of kernel overlayfs (struct ovl_fb, fs/overlayfs/overlayfs.h): what `origin`
// notes hold, and in hex what the entries of the index directory are called.
import type { ByteString, Stat } from '../base/index.js';
import { AT, close, fileHandle, O, openHandle, statx } from '../sys/index.js';
import type { Layer } from './layer.js';

const MAGIC = 0xfb;
const HEADER = 21;
const FLAG_BIG_ENDIAN = 1;
const FLAG_ANY_ENDIAN = 2;
const FLAG_PATH_UPPER = 4;
const ZERO_UUID = Buffer.alloc(16);

/** Encodes the identity of a file of a layer, or null where the file system has no handles. */
export function encodeHandle(layer: Layer, dirfd: number, name: ByteString, isUpper = false): Buffer | null {
  const handle = fileHandle(dirfd, name);
  if (typeof handle === 'number' || HEADER + handle.bytes.length > 255) return null;
  const fb = Buffer.alloc(HEADER + handle.bytes.length);
  fb[0] = 0;
  fb[1] = MAGIC;
  fb[2] = fb.length;
  fb[3] = isUpper ? FLAG_PATH_UPPER : 0;
  fb[4] = handle.type;
  (layer.uuid ?? ZERO_UUID).copy(fb, 5);
  handle.bytes.copy(fb, HEADER);
  return fb;
}

/** The name of a file's entry in the index directory. */
export function indexName(handle: Buffer): ByteString {
  return handle.toString('hex');
}

/** A decoded identity: where the file system with it is, and the file's own handle. */
interface Decoded {
  readonly uuid: Buffer;
  readonly type: number;
  readonly fid: Buffer;
}

function decode(fb: Buffer): Decoded | null {
  if (fb.length < HEADER || fb[0] !== 0 || fb[1] !== MAGIC || fb[2] !== fb.length) return null;
  const flags = fb[3]!;
  if ((flags & FLAG_ANY_ENDIAN) === 0 && (flags & FLAG_BIG_ENDIAN) !== 0) return null;
  return { uuid: fb.subarray(5, HEADER), type: fb[4]!, fid: fb.subarray(HEADER) };
}

/** Attributes of the file that an identity names, from the first layer on its file system; false when it is not there. */
export function statHandle(layers: readonly Layer[], fb: Buffer, out: Stat): boolean {
  const handle = decode(fb);
  if (handle === null) return false;
  for (const layer of layers) {
    if (!(layer.uuid ?? ZERO_UUID).equals(handle.uuid)) continue;
    const fd = openHandle(layer.rootFd, { type: handle.type, bytes: handle.fid }, O.PATH | O.CLOEXEC);
    if (fd < 0) continue;
    const rc = statx(fd, '', AT.EMPTY_PATH, out.slots);
    close(fd);
    if (rc >= 0 && out.nlink > 0) return true;
  }
  return false;
}

/**
 * The inode number that an identity holds, for who may not open handles: of the formats of ext4, tmpfs, XFS and btrfs
 * (include/linux/exportfs.h); 0 for others. `layer` is the file system it belongs to.
 */
export function handleIno(layers: readonly Layer[], fb: Buffer): { layer: Layer; ino: number } | null {
  const handle = decode(fb);
  if (handle === null) return null;
  const layer = layers.find(one => (one.uuid ?? ZERO_UUID).equals(handle.uuid));
  if (layer === undefined) return null;
  const ino = inoOf(handle.type, handle.fid);
  return ino === 0 ? null : { layer, ino };
}

function inoOf(type: number, fid: Buffer): number {
  const wide = (at: number) => fid.readUInt32LE(at) + fid.readUInt32LE(at + 4) * 2 ** 32;
  if ((type === 0x01 || type === 0x02) && fid.length === 12)
    return fid.readUInt32LE(4) + fid.readUInt32LE(8) * 2 ** 32;
  if ((type === 0x01 || type === 0x02) && fid.length >= 8) return fid.readUInt32LE(0);
  if ((type === 0x81 || type === 0x82) && fid.length >= 12) return wide(0);
  if ((type === 0x4d || type === 0x4e || type === 0x4f) && fid.length >= 20) return wide(0);
  return 0;
}
