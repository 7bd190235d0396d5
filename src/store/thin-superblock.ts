// What a file system says of itself in its first block, read from the volume without mounting it. Sources: the kernel's
// Documentation/filesystems/ext4/super.rst, and struct xfs_dsb in fs/xfs/libxfs/xfs_format.h.
import type { BlockDevice } from '../base/index.js';
import type { ThinFilesystem } from './thin-options.js';

export interface Superblock {
  readonly type: ThinFilesystem;
  /** Bytes that the file system spans. */
  readonly size: number;
  /** Inodes in use, as of its last unmount. */
  readonly inodes: number;
}

const LENGTH = 4096;
const EXT4_START = 1024;
const EXT4_MAGIC = 0xef53;
const EXT4_64BIT = 0x80;
const XFS_MAGIC = 'XFSB';

/** null: neither ext4 nor xfs. */
export async function readSuperblock(device: BlockDevice): Promise<Superblock | null> {
  const block = Buffer.alloc(LENGTH);
  await device.read(0, LENGTH, block, 0);
  return parseSuperblock(block);
}

/** The first 4096 bytes of a device. */
export function parseSuperblock(block: Buffer): Superblock | null {
  if (block.toString('latin1', 0, 4) === XFS_MAGIC) return parseXfs(block);
  const ext4 = block.subarray(EXT4_START);
  return ext4.readUInt16LE(0x38) === EXT4_MAGIC ? parseExt4(ext4) : null;
}

function parseExt4(block: Buffer): Superblock {
  const high = (block.readUInt32LE(0x60) & EXT4_64BIT) === 0 ? 0 : block.readUInt32LE(0x150);
  const blocks = high * 2 ** 32 + block.readUInt32LE(0x4);
  return {
    type: 'ext4',
    size: blocks * 2 ** (10 + block.readUInt32LE(0x18)),
    inodes: block.readUInt32LE(0x0) - block.readUInt32LE(0x10),
  };
}

function parseXfs(block: Buffer): Superblock {
  return {
    type: 'xfs',
    size: Number(block.readBigUInt64BE(8)) * block.readUInt32BE(4),
    inodes: Number(block.readBigUInt64BE(128) - block.readBigUInt64BE(136)),
  };
}
