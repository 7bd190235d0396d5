// FUSE over io_uring: whether a mount of this host gets it, what is missing when not, and how to switch it on when told to.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Finding } from './finding.js';
import { describe, UserError } from './output.js';

/** Set in the kernel's module fuse, by root, for mounts made from then on. */
const SWITCH = '/sys/module/fuse/parameters/enable_uring';
/** 0: for everybody; 1: for root and a group; 2: for nobody. */
const SYSCTL = '/proc/sys/kernel/io_uring_disabled';

const ON = 'requests come over io_uring: fewer system calls for each';
const NONE = 'this kernel has none (Linux 6.14, CONFIG_FUSE_IO_URING)';
const OFF =
  "there, but switched off: as root 'lamina doctor --enable-io-uring' switches it on until the next boot";

/** What a mount gets; `granted`: a mount was tried and got it. */
export function ring(granted: boolean): Finding {
  const meaning = granted ? ON : missing();
  return { name: 'FUSE over io_uring', value: granted, shown: granted ? 'yes' : 'no', meaning };
}

function missing(): string {
  const state = setting(SWITCH);
  if (state === null) return NONE;
  if (state !== 'Y') return OFF;
  const disabled = setting(SYSCTL);
  return disabled === '0' || disabled === null
    ? 'switched on, but not granted here: a seccomp filter or a limit of this process may forbid io_uring'
    : `switched on, but io_uring is not for this user: the sysctl kernel.io_uring_disabled is ${disabled}`;
}

/** Switches it on for the mounts that are made from now on, by anybody, until the next boot. */
export function enableRing(): void {
  if (setting(SWITCH) === null) throw new UserError(`cannot switch FUSE over io_uring on: ${NONE}`);
  try {
    writeFileSync(SWITCH, '1');
  } catch (error) {
    throw new UserError(`cannot switch FUSE over io_uring on; that takes root: ${describe(error)}`);
  }
}

/** What a file of the kernel says, or null when there is none or it cannot be read, which is an answer here. */
function setting(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return null;
  }
}
