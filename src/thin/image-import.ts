// Makes a volume out of an image: raw or a fixed VHD. The volume is there when all of the image is in it, or not at all.
// Holes of the image and blocks of zeros take no space.
import { randomUUID } from 'node:crypto';
import { E, SysError } from '../base/index.js';
import type { ImageFormat } from './image-export.js';
import { type ImageSource, openRaw, openVhd, StreamSource } from './image-source.js';
import type { PartialVolume } from './partial.js';
import type { Pool, VolumeInfo } from './pool.js';
import { makeVolume, NewWriter } from './receive-writer.js';
import { type Progress, portionFor } from './send-source.js';

export interface ImportOptions {
  readonly format: ImageFormat;
  /** Bytes of the volume, not less than the image's; by default the image's, in whole sectors. */
  readonly size?: number;
  /** Default false. */
  readonly readOnly?: boolean;
  /** Bytes of the volume. */
  readonly progress?: Progress;
}

const SECTOR = 512;

/**
 * Makes volume `name` of an image: at a path, or plain bytes in order (raw only, and `size` must be said). SysError: EEXIST;
 * EINVAL when the image has more than `size` bytes; ENOSPC; the errors of openRaw and openVhd.
 */
export async function importVolume(
  pool: Pool,
  name: string,
  source: string | AsyncIterable<Buffer>,
  options: ImportOptions,
): Promise<VolumeInfo> {
  const image = await openSource(source, options);
  try {
    const size = sizeFor(image, options.size);
    const request = { name, size, guid: randomUUID() };
    return await makeVolume(pool, request, options.readOnly ?? false, async volume => {
      await copy(image, new NewWriter(pool, volume, granuleFor(volume)), volume, options.progress);
      options.progress?.(size, size);
    });
  } finally {
    await image.close();
  }
}

async function openSource(
  source: string | AsyncIterable<Buffer>,
  { format, size }: ImportOptions,
): Promise<ImageSource> {
  if (typeof source === 'string') return format === 'vhd' ? openVhd(source) : openRaw(source);
  if (format === 'vhd') throw new SysError(E.EINVAL, 'a VHD is known by its end: import it from a file');
  if (size === undefined) throw new SysError(E.EINVAL, 'an image from a pipe needs the size of the volume');
  return new StreamSource(source);
}

function sizeFor(image: ImageSource, size: number | undefined): number {
  if (size === undefined) return Math.ceil((image.size ?? 0) / SECTOR) * SECTOR;
  if (image.size !== null && image.size > size) throw tooLarge(image.size, size);
  return size;
}

function tooLarge(bytes: number, size: number): SysError {
  return new SysError(E.EINVAL, `the image has ${bytes} bytes or more, and the volume is to have ${size}`);
}

/** Blocks of zeros are left out; of large blocks the parts that are read at once. */
function granuleFor({ blockSize }: PartialVolume): number {
  return Math.min(blockSize, portionFor(blockSize));
}

async function copy(
  image: ImageSource,
  writer: NewWriter,
  volume: PartialVolume,
  progress: Progress | undefined,
): Promise<void> {
  const { size } = volume;
  for await (const { offset, data } of image.chunks(portionFor(volume.blockSize), granuleFor(volume))) {
    if (offset + data.length > size) throw tooLarge(offset + data.length, size);
    await writer.writeSparse(offset, data);
    progress?.(offset + data.length, size);
  }
}
