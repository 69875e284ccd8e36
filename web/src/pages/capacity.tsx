import { Card, CardBody, CardTitle } from '@patternfly/react-core';
import { mainstay, useWatchOne } from '../api/watch';
import type { CapacityReport } from '../api/types';
import { Command, Empty, Fact, Facts, Gate, PageFrame, Section } from '../components/basics';
import { Rows } from '../components/table';
import { Link } from '../router';

type Amount = NonNullable<NonNullable<CapacityReport['status']>['cpu']>;

function Resource({ title, of }: { title: string; of: Amount }) {
  return (
    <Card isCompact component="article">
      <CardTitle component="h3">{title}</CardTitle>
      <CardBody>
        <Facts width="10ch">
          <Fact term="In all">{of.total ?? '–'}</Fact>
          <Fact term="Asked for">{of.requested ?? '–'}</Fact>
          <Fact term="Used">{of.used ?? '–'}</Fact>
          <Fact term="Free">{of.free ?? '–'}</Fact>
        </Facts>
      </CardBody>
    </Card>
  );
}

export default function Capacity() {
  const live = useWatchOne<CapacityReport>(mainstay('capacityreports'), 'platform');
  const s = live.object?.status;
  const stored = Object.entries(s?.disk?.stored ?? {});
  return (
    <PageFrame title="Capacity" description="What the machines have, what is asked for, used and free.">
      <Gate
        live={live}
        what="the platform's capacity"
        empty={<Empty title="Not counted yet" command="mainstay capacity" />}
      >
        {s && (
          <>
            <Section title="Machines">
              <div className="grid">
                {s.cpu && <Resource title="CPU" of={s.cpu} />}
                {s.memory && <Resource title="Memory" of={s.memory} />}
                {s.disk && <Resource title="Disk" of={s.disk} />}
              </div>
            </Section>
            {stored.length > 0 && (
              <Section title="What the disk holds">
                <Rows
                  label="What the disk holds"
                  columns={['Kind', 'Stored']}
                  rows={stored.map(([kind, size]) => ({ key: kind, cells: [kind, size] }))}
                />
              </Section>
            )}
            <Section title="Addresses">
              <Rows
                label="Addresses"
                columns={['Pool', 'In all', 'Used', 'Free']}
                rows={(s.addresses ?? []).map((a) => ({ key: a.pool, cells: [a.pool, a.total, a.used, a.free] }))}
              />
              <p>
                <Link to="/addresses">When each pool will be full</Link>
              </p>
            </Section>
          </>
        )}
      </Gate>
      <div className="muted tiny">
        In a terminal: <Command>mainstay capacity</Command>
      </div>
    </PageFrame>
  );
}
