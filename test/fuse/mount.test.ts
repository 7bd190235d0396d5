// Real mounts on /dev/fuse.
import t from 'tap';
import { mountCases } from './mount-cases.js';

mountCases(t, 'dev');
