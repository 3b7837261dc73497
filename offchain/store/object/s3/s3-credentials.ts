/** Keys of an S3 service: from a file of mode 0600 in the form of `~/.aws/credentials`, or from the environment. */
import { InvalidInputError } from "../../../core/errors.ts";
import { readPrivateFile } from "../../disk/private-file.ts";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Characters of header values: what is signed must reach the service as it is. */
const PRINTABLE = /^[\x21-\x7e]{1,512}$/;

/**
 * @param file read in place of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
 * @throws InvalidInputError without a secret in it; TallystickError FILE_UNREADABLE
 */
export function readS3Credentials(file: string | undefined): S3Credentials {
  const values =
    file === undefined
      ? { id: process.env.AWS_ACCESS_KEY_ID, secret: process.env.AWS_SECRET_ACCESS_KEY }
      : valuesOf(readPrivateFile(file, { what: "credentials file" }));
  const { id, secret } = values;
  if (id !== undefined && secret !== undefined && PRINTABLE.test(id) && PRINTABLE.test(secret)) {
    return { accessKeyId: id, secretAccessKey: secret };
  }
  throw new InvalidInputError("there are no usable keys for the S3 service", {
    check: "credentials",
    expected:
      file === undefined
        ? "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or credentialsFile"
        : `aws_access_key_id = … and aws_secret_access_key = … under [default] in ${file}`,
  });
}

/** The values under `[default]`, or before any heading. */
function valuesOf(text: string): { id: string | undefined; secret: string | undefined } {
  const values = new Map<string, string>();
  let isDefault = true;
  for (const line of text.split(/\r?\n/)) {
    const heading = /^\s*\[([^\]]*)\]/.exec(line);
    if (heading !== null) isDefault = heading[1]?.trim() === "default";
    const [, name, value] = /^\s*([a-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (isDefault && name !== undefined && value !== undefined) values.set(name, value);
  }
  return { id: values.get("aws_access_key_id"), secret: values.get("aws_secret_access_key") };
}
