import {
  Entity,
  IntColumn as Int,
  PrimaryColumn as Primary,
  StringColumn as Text,
} from "@subsquid/typeorm-store";

class Row<T> {
  constructor(row?: Partial<T>) {
    Object.assign(this, row);
  }
}

/** The state of each agent, moved by all four events. */
@Entity()
export class Agent extends Row<Agent> {
  @Primary() id: string;
  @Text() owner: string;
  @Text() uri: string;
  @Text({ nullable: true }) key?: string;
  @Text({ nullable: true }) value?: string;
  @Int() block: number;
}

@Entity()
export class Registered extends Row<Registered> {
  @Primary() id: string;
  @Int() block: number;
  @Text() agent: string;
  @Text() owner: string;
  @Text() uri: string;
}

@Entity()
export class Transfer extends Row<Transfer> {
  @Primary() id: string;
  @Int() block: number;
  @Text() agent: string;
  @Text() from: string;
  @Text() to: string;
}

@Entity()
export class MetadataSet extends Row<MetadataSet> {
  @Primary() id: string;
  @Int() block: number;
  @Text() agent: string;
  @Text() key: string;
  @Text() value: string;
}

@Entity()
export class UriUpdated extends Row<UriUpdated> {
  @Primary() id: string;
  @Int() block: number;
  @Text() agent: string;
  @Text() uri: string;
  @Text() by: string;
}
