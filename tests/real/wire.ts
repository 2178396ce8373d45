import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A protobuf message to be sent, by field numbers; a list is a repeated field. */
export interface Fields {
  readonly [field: number]: Value | readonly Value[];
}
type Value = string | number | boolean | Fields;

/** The bytes of a message. */
export function encode(fields: Fields): Buffer {
  const writer = new BinaryWriter();
  for (const [field, given] of Object.entries(fields)) {
    const values: readonly Value[] = Array.isArray(given) ? given : [given];
    for (const value of values) write(writer, Number(field), value);
  }
  return Buffer.from(writer.finish());
}

function write(writer: BinaryWriter, field: number, value: Value): void {
  if (typeof value === "number" || typeof value === "boolean") {
    writer.tag(field, WireType.Varint).int64(Number(value));
  } else {
    const bytes = typeof value === "string" ? Buffer.from(value) : encode(value);
    writer.tag(field, WireType.LengthDelimited).bytes(bytes);
  }
}

/** A protobuf message that was received, read by field numbers; what is not there is empty, or 0. */
export class Received {
  readonly #fields = new Map<number, (number | Uint8Array)[]>();

  constructor(bytes: Uint8Array) {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      const values = this.#fields.get(field) ?? [];
      this.#fields.set(field, values);
      if (type === WireType.Varint) values.push(Number(reader.int64()));
      else if (type === WireType.LengthDelimited) values.push(reader.bytes());
      else reader.skip(type, field);
    }
  }

  number(field: number): number {
    return Number(this.#fields.get(field)?.[0] ?? 0);
  }

  text(field: number): string {
    return Buffer.from(this.#bytes(field)[0] ?? []).toString();
  }

  message(field: number): Received {
    return new Received(this.#bytes(field)[0] ?? new Uint8Array());
  }

  messages(field: number): readonly Received[] {
    return this.#bytes(field).map((bytes) => new Received(bytes));
  }

  #bytes(field: number): readonly Uint8Array[] {
    return (this.#fields.get(field) ?? []).filter((value) => typeof value !== "number");
  }
}
