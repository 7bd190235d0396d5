// Stream sockets as the addon has them: descriptors that never block, and bytes moved to and from the caller's buffers.
import { native } from './native.js';

export interface SocketCalls {
  /** A listening socket whose file gets exactly this mode (less the umask) from its first moment. -EADDRINUSE, -ENAMETOOLONG. */
  listenUnix(path: string, mode: number): number;
  /** A connection to a listening socket. -ECONNREFUSED when nobody listens there, -EAGAIN when too many wait. */
  connectUnix(path: string): number;
  /** `host` is an IPv4 or IPv6 address (-EINVAL otherwise); port 0 takes a free one. */
  listenTcp(host: string, port: number): number;
  /** The port that a TCP socket is bound to. */
  socketPort(fd: number): number;
  /** The next connection of a listening socket, with TCP_NODELAY; -EAGAIN when there is none. */
  acceptSocket(listener: number): number;
  /**
   * Bytes that came into `buffer[at .. at + length]`; 0 at the end; -EAGAIN when nothing comes within `spinMicros`, which are
   * spent looking, not sleeping.
   */
  receive(fd: number, buffer: Buffer, at: number, length: number, spinMicros: number): number;
  /** Bytes of `buffer[at .. at + length]` that the kernel took, perhaps fewer; -EAGAIN when none; never a signal. */
  send(fd: number, buffer: Buffer, at: number, length: number): number;
  /** Who connected to a unix socket, or listens there: [pid, uid, gid] (the ids as signed numbers) into `out`. */
  socketPeer(fd: number, out: Int32Array): number;
  /**
   * As `receive` without a wait, with the descriptors that came along (SCM_RIGHTS) into `fds`, -1 where there are fewer. Those
   * that do not fit are closed.
   */
  receiveWithFds(fd: number, buffer: Buffer, at: number, length: number, fds: Int32Array): number;
  /** One message to the datagram socket at `path` (a leading @: in the abstract name space); the bytes that it took. */
  sendDatagram(path: string, message: Uint8Array): number;
}

export const {
  listenUnix,
  connectUnix,
  listenTcp,
  socketPort,
  acceptSocket,
  receive,
  send,
  socketPeer,
  receiveWithFds,
  sendDatagram,
} = native;
