package record

import "github.com/256dpi/gomqtt/packet"

// Published is a Publish record that is decoded as far as it is asked for. Its slices point into the record.
type Published struct {
	Retain   bool
	Receiver uint64 // 0: none
	ID       packet.ID
	Will     []byte // nil: none
	targets  uint64
	rest     []byte // targets and message
}

// DecodePublish decodes the body of a Publish record.
func DecodePublish(body []byte) (p Published, err error) {
	r := Reader{Rest: body}
	flags := r.Byte()
	p.Retain = flags&flagRetain != 0
	if flags&flagReceiver != 0 {
		p.Receiver, p.ID = r.Number(), r.id()
		r.Failed = r.Failed || p.Receiver == 0
	}
	if flags&flagWill != 0 {
		p.Will = r.Text()
		r.Failed = r.Failed || len(p.Will) == 0
	}
	p.targets = r.Number()
	p.rest = r.Rest
	if r.Failed || flags&^flagsPublish != 0 || p.targets > uint64(len(p.rest)) {
		return Published{}, ErrDamaged
	}
	return p, nil
}

// Targets returns the targets, to be read with Next.
func (p *Published) Targets() Targets { return Targets{r: Reader{Rest: p.rest}, n: p.targets} }

// Message decodes the message.
func (p *Published) Message() (*Message, error) {
	b, err := p.MessageBytes()
	if err != nil {
		return nil, err
	}
	return DecodeMessage(b)
}

// Find returns the first target of a session whose position is not below from.
func (p *Published) Find(session, from uint64) (Target, bool) {
	for t := p.Targets(); ; {
		x, ok := t.Next()
		if !ok || x.Session == session && x.Position >= from {
			return x, ok
		}
	}
}

// Len returns the number of targets.
func (p *Published) Len() int { return int(p.targets) }

// Targets reads the targets of a Publish record.
type Targets struct {
	r Reader
	n uint64
}

// Next returns the next target; false at the end, or if the rest is damaged.
func (t *Targets) Next() (x Target, ok bool) {
	if t.n == 0 || t.r.Failed {
		return Target{}, false
	}
	t.n--
	flags := t.r.Byte()
	x = Target{
		QOS: packet.QOS(flags & maskQOS >> shiftQOS), Retained: flags&flagRetained != 0,
		Session: t.r.Number(), Position: t.r.Number(),
	}
	if t.r.Failed || flags&^flagsTarget != 0 || x.QOS == 0 || x.QOS > 2 {
		t.r.Failed = true
		return Target{}, false
	}
	return x, true
}

// DecodeAcked decodes the body of an Acked record. state points into it, head is the number at its beginning.
func DecodeAcked(body []byte) (session, head uint64, state []byte, err error) {
	r := Reader{Rest: body}
	session = r.Number()
	state = r.Rest
	head = r.Number()
	if r.Failed {
		return 0, 0, nil, ErrDamaged
	}
	return session, head, state, nil
}

// DecodePutSession decodes the body of a PutSession record.
func DecodePutSession(body []byte) (number uint64, client, user string, err error) {
	r := Reader{Rest: body}
	number, client, user = r.Number(), string(r.Text()), string(r.Text())
	return number, client, user, r.end()
}

// DecodeDeleteSession decodes the body of a DeleteSession record.
func DecodeDeleteSession(body []byte) (number uint64, err error) {
	r := Reader{Rest: body}
	number = r.Number()
	return number, r.end()
}

// DecodeUsed decodes the body of a Used record.
func DecodeUsed(body []byte) (number uint64, connected bool, err error) {
	r := Reader{Rest: body}
	number = r.Number()
	flag := r.Byte()
	r.Failed = r.Failed || flag > 1
	return number, flag == 1, r.end()
}

// DecodePutFilter decodes the body of a PutFilter record. filter points into it.
func DecodePutFilter(body []byte) (session uint64, filter []byte, qos packet.QOS, err error) {
	r := Reader{Rest: body}
	session, qos = r.Number(), packet.QOS(r.Byte())
	filter = r.Text()
	r.Failed = r.Failed || qos > 2
	return session, filter, qos, r.end()
}

// DecodeDeleteFilter decodes the body of a DeleteFilter record. filter points into it.
func DecodeDeleteFilter(body []byte) (session uint64, filter []byte, err error) {
	r := Reader{Rest: body}
	session, filter = r.Number(), r.Text()
	return session, filter, r.end()
}

// DecodeDeleteReceived decodes the body of a DeleteReceived record.
func DecodeDeleteReceived(body []byte) (session uint64, id packet.ID, err error) {
	r := Reader{Rest: body}
	session, id = r.Number(), r.id()
	return session, id, r.end()
}

// DecodePutWill decodes the body of a PutWill record. key and message, in the encoding of DecodeMessage, point into
// it.
func DecodePutWill(body []byte) (key, message []byte, err error) {
	r := Reader{Rest: body}
	key = r.Text()
	if r.Failed {
		return nil, nil, ErrDamaged
	}
	return key, r.Rest, nil
}

// DecodeDeleteWill decodes the body of a DeleteWill record. key points into it.
func DecodeDeleteWill(body []byte) (key []byte, err error) {
	r := Reader{Rest: body}
	key = r.Text()
	return key, r.end()
}

// MessageBytes returns the message in the encoding of DecodeMessage, pointing into the record.
func (p *Published) MessageBytes() ([]byte, error) {
	t := p.Targets()
	for ok := true; ok; {
		_, ok = t.Next()
	}
	if t.r.Failed {
		return nil, ErrDamaged
	}
	return t.r.Rest, nil
}

// Peek returns the topic of an encoded message, pointing into it, and the size of its payload.
func Peek(message []byte) (topic []byte, payload int, err error) {
	r := Reader{Rest: message}
	flags := r.Byte()
	topic = r.Text()
	if flags&flagOwner != 0 {
		r.Text()
	}
	if flags&flagProperties != 0 {
		r.Text()
	}
	if r.Failed {
		return nil, 0, ErrDamaged
	}
	return topic, len(r.Rest), nil
}
