/** Facts beside a log message: names, ids, numbers; never secrets or file contents. `error` takes what was thrown. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where the daemon says what it does. The shell adds time, process and trace id. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
