// What the tests of the OCI room share: shell scripts in scratch directories, real overlay mounts, trees compared by
// rsync (data, hard links, ACLs, xattrs, nanoseconds), and a layer through diff, tar and apply.
import { spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, readdirSync, readlinkSync } from 'node:fs';
import { fromText, toText } from '../../src/base/index.js';
import {
  type ApplyOptions,
  type ApplyResult,
  applyLayerTar,
  diffLayer,
  layerTar,
  writeLayerTar,
} from '../../src/oci/index.js';

/** Runs a script in `dir`; throws with what it said when it fails. Its output, as latin1. */
export function sh(dir: string, script: string): string {
  const run = spawnSync('bash', ['-euc', script], {
    cwd: dir,
    encoding: 'latin1',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  if (run.status !== 0) throw new Error(`${script}\n${run.stderr}`);
  return run.stdout;
}

/** Runs `changes` in a real overlay mount of `lowers` (top first) below `dir`, and leaves the upper. */
export function changeOverlay(dir: string, lowers: readonly string[], changes: string, options = ''): void {
  const layers = `lowerdir=${lowers.join(':')},upperdir=upper,workdir=work${options && `,${options}`}`;
  sh(dir, `mkdir -p upper work mnt; mount -t overlay overlay -o '${layers}' mnt`);
  try {
    sh(`${dir}/mnt`, changes);
    sh(dir, 'rm -rf seen; cp -a --reflink=never mnt seen');
  } finally {
    sh(dir, 'umount mnt');
  }
}

/** What differs between two trees, as rsync itemises it; '' for none. */
export function treeDifference(dir: string, expected: string, found: string): string {
  return sh(
    dir,
    `rsync -aHAXn --checksum --delete --modify-window=-1 --itemize-changes ${expected}/ ${found}/`,
  );
}

/** The changes of a layer as `docker diff` prints them. */
export async function diffLines(upper: string, lowers?: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const change of diffLayer(fromText(upper), { lowers: lowers?.map(fromText) })) {
    lines.push(`${change.kind} ${toText(change.path)}`);
  }
  return lines;
}

/** Writes the tar of a layer; returns the notes. */
export async function tarTo(file: string, upper: string, lowers?: readonly string[]): Promise<string[]> {
  const notes: string[] = [];
  const options = { onNote: (note: string) => notes.push(note) };
  await writeLayerTar(fromText(upper), lowers?.map(fromText), createWriteStream(file), options);
  return notes;
}

/** The tar of a layer in memory. */
export async function tarOf(upper: string, lowers?: readonly string[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of layerTar(fromText(upper), { lowers: lowers?.map(fromText) })) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Applies a tar file to a directory, which is made. */
export function applyTo(file: string, dir: string, options: ApplyOptions = {}): Promise<ApplyResult> {
  sh('/', `mkdir -p '${dir}'`);
  return applyLayerTar(createReadStream(file), fromText(dir), options);
}

/** What this process's descriptors of files and directories are open on; streams that are closing are left out. */
export function openDescriptors(): string[] {
  const targets: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      targets.push(readlinkSync(`/proc/self/fd/${fd}`));
    } catch (error) {
      // The descriptor with which the directory itself was listed is gone.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
  return targets.filter(target => target.startsWith('/') && !target.endsWith('.tar')).sort();
}
