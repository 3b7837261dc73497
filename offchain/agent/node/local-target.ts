/** A folder of this machine as the target of a restore: folders and links by `TargetFolder`, files by `FileWriter`. */

import type { DirectoryEntry, FileEntry, RegularFileEntry, SymlinkEntry } from "../../core/recipe/recipe.ts";
import type { FileSink, RestoreEntry, RestoreTarget, TargetOptions } from "../platform.ts";
import { FileWriter } from "./file-writer.ts";
import { requireFolder, TargetFolder } from "./target-folder.ts";

export class LocalTarget implements RestoreTarget {
  readonly #folder: TargetFolder;

  private constructor(folder: TargetFolder) {
    this.#folder = folder;
  }

  /** Makes the folder if it is absent. @throws InvalidInputError for no folder; DiskFailedError, DiskFullError */
  static async open(folder: string, options: TargetOptions): Promise<LocalTarget> {
    return new LocalTarget(TargetFolder.open(requireFolder(folder), options));
  }

  async before(entry: FileEntry): Promise<void> {
    await this.#folder.leaveFoldersBefore(entry);
  }

  async makeFolder(entry: RestoreEntry<DirectoryEntry>): Promise<void> {
    await this.#folder.makeFolder(entry);
  }

  async makeLink(entry: RestoreEntry<SymlinkEntry>): Promise<void> {
    await this.#folder.makeLink(entry);
  }

  async openFile(entry: RestoreEntry<RegularFileEntry>): Promise<FileSink> {
    return FileWriter.open(this.#folder, entry);
  }

  async finish(): Promise<void> {
    await this.#folder.leaveAll();
  }

  async close(): Promise<void> {
    this.#folder.abandon();
  }
}
