// The footer of a fixed VHD, both directions: the last 512 bytes of the file, big endian, after the plain image. Written as
// Windows's LCOW layers have it (microsoft/hcsshim ext4/tar2ext4/vhdfooter.go): no creator, no time. One field differs:
// their geometry is 0, from which qemu computes an empty disk; the largest geometry says "go by the size".
import { randomBytes } from 'node:crypto';
import { E, SysError } from '../base/index.js';

export const FOOTER_BYTES = 512;
/** Sizes in a footer are whole sectors. */
export const VHD_SECTOR = 512;
/** What Windows attaches: 2040 GiB. */
export const MAX_VHD_BYTES = 2040 * 2 ** 30;

const COOKIE = 'conectix';
const VHDX_COOKIE = 'vhdxfile';
const FIXED = 2;
const TYPES = new Map([
  [FIXED, 'fixed'],
  [3, 'dynamic'],
  [4, 'differencing'],
]);

/** Where the fields are, in bytes from the footer's start. */
const AT = {
  features: 8,
  version: 12,
  dataOffset: 16,
  creatorVersion: 32,
  originalSize: 40,
  currentSize: 48,
  geometry: 56,
  type: 60,
  checksum: 64,
  uuid: 68,
};
const FEATURES = 2;
const VERSION = 0x00010000;
const CREATOR_VERSION = 0x000a0000;
/** 65,535 cylinders, 16 heads, 255 sectors. */
const GEOMETRY = 0xffff10ff;

/** The footer for an image of `size` bytes. SysError: EINVAL (not whole sectors), EFBIG. */
export function encodeFooter(size: number): Buffer {
  if (size % VHD_SECTOR !== 0) throw new SysError(E.EINVAL, `a VHD of ${size} bytes: not whole sectors`);
  if (size > MAX_VHD_BYTES)
    throw new SysError(E.EFBIG, `a VHD of ${size} bytes: it can have ${MAX_VHD_BYTES}`);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.write(COOKIE, 'latin1');
  footer.writeUInt32BE(FEATURES, AT.features);
  footer.writeUInt32BE(VERSION, AT.version);
  footer.fill(0xff, AT.dataOffset, AT.dataOffset + 8);
  footer.writeUInt32BE(CREATOR_VERSION, AT.creatorVersion);
  for (const at of [AT.originalSize, AT.currentSize]) {
    footer.writeUInt32BE(Math.floor(size / 2 ** 32), at);
    footer.writeUInt32BE(size % 2 ** 32, at + 4);
  }
  footer.writeUInt32BE(GEOMETRY, AT.geometry);
  footer.writeUInt32BE(FIXED, AT.type);
  randomBytes(16).copy(footer, AT.uuid);
  footer.writeUInt32BE(checksumOf(footer), AT.checksum);
  return footer;
}

/**
 * The image's size in bytes by the footer of a file of `fileSize` bytes; `start` is how the file begins. SysError:
 * EMEDIUMTYPE (no VHD), EBADMSG (checksum), EPROTO (of a kind that is not read here), EINVAL (fields that cannot be).
 */
export function decodeFooter(footer: Buffer, start: Buffer, fileSize: number): number {
  if (start.toString('latin1', 0, 8) === VHDX_COOKIE) {
    throw new SysError(E.EPROTO, 'the image is a VHDX: convert it to raw or to a fixed VHD');
  }
  if (footer.toString('latin1', 0, 8) !== COOKIE) {
    throw new SysError(
      E.EMEDIUMTYPE,
      `the image is no VHD: its last ${FOOTER_BYTES} bytes lack the cookie ${COOKIE}`,
    );
  }
  const checksum = footer.readUInt32BE(AT.checksum);
  if (checksum !== checksumOf(footer)) {
    throw new SysError(
      E.EBADMSG,
      `the VHD's footer is damaged: its checksum is ${checksum}, not ${checksumOf(footer)}`,
    );
  }
  const version = footer.readUInt32BE(AT.version);
  if (version >>> 16 !== VERSION >>> 16) {
    throw new SysError(E.EPROTO, `the VHD is of version ${version >>> 16}, and version 1 is read here`);
  }
  const type = footer.readUInt32BE(AT.type);
  if (type !== FIXED) {
    const kind = TYPES.get(type) ?? `of type ${type}`;
    throw new SysError(E.EPROTO, `the VHD is ${kind}: convert it to a fixed one`);
  }
  const size = footer.readUInt32BE(AT.currentSize) * 2 ** 32 + footer.readUInt32BE(AT.currentSize + 4);
  if (size + FOOTER_BYTES !== fileSize) {
    const rest = fileSize - FOOTER_BYTES;
    throw new SysError(E.EINVAL, `the VHD's footer says ${size} bytes, and the file has ${rest} before it`);
  }
  return size;
}

/** Ones' complement of the sum of all bytes but the checksum's own. */
function checksumOf(footer: Buffer): number {
  let sum = 0;
  for (const [at, byte] of footer.entries()) if (at < AT.checksum || at >= AT.checksum + 4) sum += byte;
  return ~sum >>> 0;
}
