// Pools and metadata for tests of the tools: from XML into a pool of ours or into a file of Debian's tools, and what those
// print.
import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DumpOptions, dump } from '../../src/thin/dump.js';
import { MetadataReader } from '../../src/thin/reader.js';
import { type RestoreOptions, type RestoreSummary, restore } from '../../src/thin/restore.js';

/** A text in pieces of `size` bytes. */
export async function* bytesOf(text: string | Buffer, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export function restoreXml(
  xml: string | Buffer,
  dir: string,
  options: RestoreOptions = {},
): Promise<RestoreSummary> {
  return restore(bytesOf(xml), dir, options);
}

/** Runs `body` on the metadata of a pool. */
export function reading<T>(dir: string, body: (reader: MetadataReader) => T): T {
  const reader = MetadataReader.open(dir);
  try {
    return body(reader);
  } finally {
    reader.close();
  }
}

export function dumpText(dir: string, options: DumpOptions = {}): string {
  return reading(dir, reader => [...dump(reader, options)].join(''));
}

/** A program's standard output; throws with what it says on standard error. */
export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** A metadata file of device-mapper's, from XML by thin_restore. Returns its path. */
export function debianMetadata(xml: string, dir: string, size = 16 * 2 ** 20): string {
  const path = join(dir, 'meta.bin');
  writeFileSync(join(dir, 'in.xml'), xml);
  writeFileSync(path, '');
  truncateSync(path, size);
  run('thin_restore', '-i', join(dir, 'in.xml'), '-o', path);
  return path;
}
