from fgdet.engine.optimizers.muon_adamw import MuonAdamW, MuonConstructor

__all__ = ['MuonAdamW', 'MuonConstructor']
