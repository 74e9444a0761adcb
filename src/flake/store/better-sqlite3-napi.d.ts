/** better-sqlite3 13 has the interface of 12. */
declare module 'better-sqlite3-napi' {
  export { default } from 'better-sqlite3';
}
