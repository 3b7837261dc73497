/** Public entry point `tallystick/serve`: stored files over HTTP and WebDAV, for Node. */
export type { ReadableTree, TreeEntry, TreeFile } from "../agent/read/readable-tree.ts";
export type { LoopbackHost } from "./access.ts";
export type { ContentType } from "./file-answer.ts";
export { createFileHandler, type FileHandler, type FileHandlerOptions } from "./file-handler.ts";
export { type MountedTree, MountedTrees, type TreeNames } from "./mounted-trees.ts";
export { type SnapshotSource, snapshotTrees } from "./snapshot-trees.ts";
export { startTreeServer, type TreeServer, type TreeServerOptions } from "./tree-server.ts";
