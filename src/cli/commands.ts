// The table of commands. A command's code is loaded when it is called: an engine starts one `lamina` per mount, and the
// time that takes counts.
import type { Command } from 'commander';

export interface CommandRow {
  readonly name: string;
  readonly summary: string;
  /** The code: adds arguments, options and the action to the command; and help that costs time, when it is wanted. */
  load(): Promise<{ define(command: Command, help: boolean): void | Promise<void> }>;
}

export const COMMANDS: readonly CommandRow[] = [
  { name: 'mount', summary: 'show stacked layer directories as one tree', load: () => import('./mount.js') },
  { name: 'umount', summary: 'end such a mount', load: () => import('./umount.js') },
  {
    name: 'layer',
    summary: 'what an upper layer changes; layers to and from tar',
    load: () => import('./layers.js'),
  },
  {
    name: 'pool',
    summary: 'thin-provisioned pools: make, look at, mend, mount',
    load: () => import('./pool.js'),
  },
  {
    name: 'volume',
    summary: 'volumes of a pool: make, snapshot, send, mount',
    load: () => import('./volume.js'),
  },
  {
    name: 'nbd',
    summary: 'serve volumes over the network block device protocol',
    load: () => import('./nbd.js'),
  },
  {
    name: 'serve',
    summary: 'be the storage driver of container engines',
    load: () => import('./engines.js'),
  },
  {
    name: 'doctor',
    summary: 'what this host offers, and which options suit it',
    load: () => import('./doctor.js'),
  },
  { name: 'demo', summary: 'three layers, mounted, changed and looked at', load: () => import('./demo.js') },
];
