// The signals by which a user or the system asks a command to end.
export const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
