// What this host offers a union mount, whatever the directory: kernel, FUSE, privileges. FUSE itself is tried by mounting
// a small union in this process and reading a file through it.
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { mount } from '../index.js';
import type { Finding } from './finding.js';
import { describe } from './output.js';
import { ring } from './probe-ring.js';

/** Bits of CapEff in /proc/self/status (linux/capability.h). */
const CAPABILITIES = { CAP_SYS_ADMIN: 21, CAP_MKNOD: 27, CAP_DAC_READ_SEARCH: 2, CAP_CHOWN: 0 } as const;

/** All findings about the host, in the order in which they are shown. */
export async function probeHost(): Promise<Finding[]> {
  return [kernel(), user(), ...capabilities(), ...(await fuse()), helper(), allowOther(), overlayfs()];
}

function finding(name: string, value: Finding['value'], meaning: string): Finding {
  const shown = value === true ? 'yes' : value === false ? 'no' : String(value ?? 'unknown');
  return { name, value, shown, meaning };
}

/** The text of a file, or null when there is none or it cannot be read, which is an answer here. */
function contents(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function kernel(): Finding {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const has = (a: number, b: number) => major > a || (major === a && minor >= b);
  const meaning = has(6, 9)
    ? 'new enough for everything'
    : has(5, 6)
      ? 'no passthrough before Linux 6.9'
      : 'Linux 5.6 is needed';
  return finding('kernel', release(), meaning);
}

function user(): Finding {
  const uid = process.geteuid?.() ?? 0;
  return finding(
    'user id',
    uid,
    uid === 0 ? 'mounts are made directly' : 'mounts are made by the set-uid mount helper',
  );
}

function capabilities(): Finding[] {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(contents('/proc/self/status') ?? '')?.[1] ?? '0';
  const bits = BigInt(`0x${hex}`);
  const has = (name: keyof typeof CAPABILITIES) => ((bits >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
  return [
    finding(
      'CAP_SYS_ADMIN',
      has('CAP_SYS_ADMIN'),
      has('CAP_SYS_ADMIN')
        ? 'passthrough and trusted.* attributes'
        : 'no passthrough, no trusted.* attributes',
    ),
    finding(
      'CAP_MKNOD',
      has('CAP_MKNOD'),
      has('CAP_MKNOD') ? 'device nodes can be copied up' : 'no device nodes in the upper',
    ),
    finding(
      'CAP_CHOWN',
      has('CAP_CHOWN'),
      has('CAP_CHOWN') ? 'files keep their owners at copy-up' : 'every new file is yours',
    ),
    finding(
      'CAP_DAC_READ_SEARCH',
      has('CAP_DAC_READ_SEARCH'),
      has('CAP_DAC_READ_SEARCH') ? 'files can be found by handle' : 'files are found by path only',
    ),
  ];
}

/** Mounts, reads a file, unmounts. What does not work is the finding. */
async function fuse(): Promise<Finding[]> {
  const base = mkdtempSync(join(tmpdir(), 'lamina-doctor-'));
  try {
    const [lower, point] = [mkdtempSync(join(base, 'lower-')), mkdtempSync(join(base, 'mnt-'))];
    writeFileSync(join(lower, 'file'), 'data');
    const mounted = await mount({ lowerdir: [lower] }, point);
    // Asynchronously: this thread serves the mount.
    let passthrough = false;
    let overRing = false;
    const read = await readFile(join(point, 'file'), 'utf8').finally(() => {
      ({ passthrough, overRing } = mounted);
      return mounted.unmount();
    });
    await mounted.closed;
    return [
      finding('FUSE mount', read === 'data', 'a union was mounted, read and unmounted'),
      finding('FUSE protocol', `7.${mounted.protocolMinor}`, 'as agreed with the kernel'),
      passthrough
        ? finding(
            'passthrough',
            true,
            'open files are read and written at the speed of the file system below',
          )
        : finding(
            'passthrough',
            false,
            'data of open files passes through the daemon (passthrough needs root and Linux 6.9)',
          ),
      ring(overRing),
    ];
  } catch (error) {
    return [finding('FUSE mount', false, describe(error)), ring(false)];
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

function helper(): Finding {
  const path = (process.env.PATH ?? '/usr/bin')
    .split(delimiter)
    .map(dir => join(dir, MOUNT_HELPER))
    .find(executable);
  return finding(
    MOUNT_HELPER,
    path ?? false,
    path ? 'ordinary users can mount' : 'only root can mount (Debian package fuse3)',
  );
}

const MOUNT_HELPER = 'fusermount3';

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function allowOther(): Finding {
  const on = /^\s*user_allow_other\b/m.test(contents('/etc/fuse.conf') ?? '');
  return finding(
    'user_allow_other',
    on,
    on ? 'ordinary users may use allow_other' : 'allow_other is for root (/etc/fuse.conf)',
  );
}

function overlayfs(): Finding {
  const there = /\boverlay$/m.test(contents('/proc/filesystems') ?? '');
  return finding(
    'kernel overlayfs',
    there,
    there ? 'can take over an upper that laminafs wrote' : 'not there, or not loaded yet',
  );
}
