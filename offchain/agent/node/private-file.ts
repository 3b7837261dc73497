/** Files with secrets, for programs. */
export { readPrivateFile } from "../../store/disk/private-file.ts";
